-- Bring a task that ended without being done back into the express lane.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id   4 '1' to start the SLA clock anew
--        5 who, or '' when it is no operator's act   6 via   7 reason
-- Reply  'ok' | 'gone' | 'body_lost' | the state that does not allow it
-- Keeps  I1, I4 and R6: attempts and crashes restart, the SLA clock goes on unless asked.
-- include queue places clock tally ladder audit case

local id = ARGV[3]
local config = redis.call('HMGET', CONFIG, 'version', 'ladder', 'clock_stood', 'clock_stopped')
local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'sla', 'rung', 'key', 'queue',
  'shift', 'corr')
if run.err or not run[1] or not config[1] or run[6] ~= QUEUE then return 'gone' end
local state = run[1]
if state ~= 'failed' and state ~= 'cancelled' and state ~= 'expired' then return state end
if redis.call('EXISTS', body_key(id)) == 0 then return 'body_lost' end
check_types()
check_audit(AUDIT)
redis.call('ZCARD', AT_RISK)
set_clock(config[3], config[4])
local ladder = read_ladder(config[2])
local arrived, sla, spoken = tonumber(run[2]), tonumber(run[3]), tonumber(run[4])
local key, shift = run[5], tonumber(run[7]) or 0

redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', 'express', 'ready', NOW, 'requeued', NOW)
redis.call('RPUSH', EXPRESS, id)
-- A scheduled task that was cancelled is wanted now, so its clock starts now; one that expired is
-- wanted in spite of its old limits.
local anew = ARGV[4] == '1' or not arrived or arrived > NOW or state == 'expired'
if anew then
  arrived, spoken, shift = NOW, nil, DRIFT
  redis.call('HSET', run_key(id), 'arrived', NOW, 'shift', shift)
  redis.call('HDEL', run_key(id), 'rung')
end
redis.call('HDEL', run_key(id), 'attempt', 'crashes', 'finished', 'error', 'result',
  'token', 'settled_by', 'lost_token', 'cancel', 'cancel_by', 'cancel_reason', 'revived', 'moved_to',
  'moving', 'handoff', 'expires')
if key and redis.pcall('GET', key) == id then redis.call('PERSIST', key) end
if run[8] then add_to_case(run[8], { arrived, id }) end -- it may have been one too many
if sla then put_on_the_clock(id, ladder, arrived - shift, sla, spoken) end
redis.call('ZREM', NORMAL .. ':' .. state, id)
count('requeued')
announce('type', 'requeued', 'id', id)
write_tally()
ring()
audit(AUDIT, ARGV[5], ARGV[6], ARGV[7], 'requeue', 'task', id, 'was', state, 'clock',
  anew and 'anew' or 'goes on')
return 'ok'
