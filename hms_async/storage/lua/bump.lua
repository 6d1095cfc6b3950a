-- Move a waiting task to the express lane.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id
--        4 who, or '' when it is no operator's act   5 via   6 reason
-- Reply  'ok' | 'already' (it goes first as it is) | 'gone' | the state that does not allow it
-- Keeps  R4: the old entry stays, is counted as stale, and can never win.
-- include queue places audit

local id = ARGV[3]
local run = redis.pcall('HMGET', run_key(id), 'state', 'lane', 'queue')
if run.err or not run[1] or run[3] ~= QUEUE then return 'gone' end
if run[1] ~= 'waiting' then return run[1] end
if (run[2] or 'normal') ~= 'normal' then return 'already' end
check_types()
check_audit(AUDIT)
redis.call('HSET', run_key(id), 'lane', 'express')
redis.call('RPUSH', EXPRESS, id)
count_stale(1)
announce('type', 'bumped', 'id', id)
ring()
audit(AUDIT, ARGV[4], ARGV[5], ARGV[6], 'bump', 'task', id)
return 'ok'
