-- Cancel a task: at once where no worker holds it, else by asking the one who does.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id
-- Reply  'ok' | 'asked' | 'gone' | the state that does not allow it
-- Keeps  I1. A lane is never searched: the record changes, one entry is counted as stale, and
--        the next claim drops it (R4). Done and failed come before a cancellation that was only
--        asked for; any other end of the lease makes it one (R17).
-- include queue places open tally histogram tell finish lease

local id = ARGV[3]
local config = redis.call('HMGET', CONFIG, 'version', 'window_ms')
local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'sla', 'key', 'corr', 'accepted',
  'queue', 'token', 'cancel')
if run.err or not run[1] or not config[1] or run[7] ~= QUEUE then return 'gone' end
local state = run[1]
if not OPEN[state] then return state end
check_types()
begin_draining()
if state == 'in_progress' then
  if run[9] then return 'asked' end
  local told = cancelling_key(run[8] or '')
  redis.call('SADD', told, run[8] or '')
  -- It is emptied when the leases end; this is for a process that never comes back.
  redis.call('PEXPIRE', told, 86400000)
  redis.call('HSET', run_key(id), 'cancel', NOW)
  tell('cancelling', id, run[5])
  write_told()
  return 'asked'
end
finish(id, 'cancelled', { arrived = run[2], sla = run[3], key = run[4], corr = run[5],
  accepted = run[6] }, tonumber(config[2]))
if state == 'waiting' then
  count_stale(1)
else
  redis.call('ZREM', state == 'scheduled' and SCHEDULED or RETRY, id)
end
write_ended()
count_observed()
write_tally()
return 'ok'
