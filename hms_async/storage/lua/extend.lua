-- Renew the leases of one worker in one queue (heartbeat).
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 lease_ms, or '' for the queue's
--        then pairs: id, token
-- Reply  the tokens whose lease is lost
-- Keeps  I3: only the live token renews; a late one does too, as long as nobody has
--        reclaimed the task (R3).
-- include queue

local lease = lease_of(ARGV[3], redis.call('HGET', CONFIG, 'lease_ms') or 30000)
redis.call('ZCARD', INFLIGHT)
local lost, kept = {}, {}
for i = 4, #ARGV, 2 do
  local run = redis.pcall('HMGET', run_key(ARGV[i]), 'state', 'token', 'queue')
  if not run.err and run[1] == 'in_progress' and run[3] == QUEUE and ARGV[i + 1] ~= ''
    and run[2] == ARGV[i + 1] then
    kept[#kept + 1] = NOW + lease
    kept[#kept + 1] = ARGV[i]
  else
    lost[#lost + 1] = ARGV[i + 1]
  end
end
begin_draining()
-- Not XX: an entry that was lost with its record intact comes back.
call_in_slices('ZADD', INFLIGHT, kept)
return lost
