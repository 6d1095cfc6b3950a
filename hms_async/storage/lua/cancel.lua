-- Cancel a task that no worker holds.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id
-- Reply  'ok' | 'gone' | the state that does not allow it
-- Keeps  I1. A lane is never searched: the record changes, one entry is counted as stale, and
--        the next claim drops it (R4).
-- include queue tally finish

local id = ARGV[3]
local config = redis.call('HMGET', CONFIG, 'keep_done_ms', 'window_ms')
local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'due', 'sla', 'key', 'corr',
  'accepted', 'queue')
if run.err or not run[1] or not config[1] or run[8] ~= QUEUE then return 'gone' end
local state = run[1]
if state ~= 'waiting' and state ~= 'scheduled' and state ~= 'retrying' then return state end
check_types()
begin_draining()
finish(id, 'cancelled', { arrived = run[2], due = run[3], sla = run[4], key = run[5],
  corr = run[6], accepted = run[7] }, config[1], tonumber(config[2]))
if state == 'waiting' then
  count_stale(1)
else
  redis.call('ZREM', state == 'scheduled' and SCHEDULED or RETRY, id)
end
write_ended()
write_tally()
return 'ok'
