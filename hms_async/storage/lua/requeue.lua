-- Bring a task that ended without being done back into the express lane.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id   4 '1' to start the SLA clock anew
-- Reply  'ok' | 'gone' | 'body_lost' | the state that does not allow it
-- Keeps  I1, I4 and R6: attempts and crashes restart, the SLA clock goes on unless asked.
-- include queue tally ladder

local id = ARGV[3]
local config = redis.call('HMGET', CONFIG, 'version', 'ladder')
local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'sla', 'rung', 'key', 'queue')
if run.err or not run[1] or not config[1] or run[6] ~= QUEUE then return 'gone' end
local state = run[1]
if state ~= 'failed' and state ~= 'cancelled' and state ~= 'expired' then return state end
if redis.call('EXISTS', body_key(id)) == 0 then return 'body_lost' end
check_types()
local ladder = read_ladder(config[2])
local arrived, sla, spoken = tonumber(run[2]), tonumber(run[3]), tonumber(run[4])
local key = run[5]

redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', 'express', 'ready', NOW)
redis.call('RPUSH', EXPRESS, id)
-- A scheduled task that was cancelled is wanted now, so its clock starts now.
if ARGV[4] == '1' or not arrived or arrived > NOW then
  arrived, spoken = NOW, nil
  redis.call('HSET', run_key(id), 'arrived', NOW)
  redis.call('HDEL', run_key(id), 'rung')
  if sla then redis.call('HSET', run_key(id), 'due', NOW + sla) end
end
redis.call('HDEL', run_key(id), 'attempt', 'crashes', 'finished', 'error', 'result',
  'handoff', 'token', 'settled_by', 'lost_token', 'cancel', 'revived')
if key and redis.pcall('GET', key) == id then redis.call('PERSIST', key) end
local rung = sla and next_rung_at(ladder, arrived, sla, spoken)
if rung then redis.call('ZADD', SLA, rung, id) end
redis.call('ZREM', NORMAL .. ':' .. state, id)
count('requeued')
announce('type', 'requeued', 'id', id)
write_tally()
ring()
return 'ok'
