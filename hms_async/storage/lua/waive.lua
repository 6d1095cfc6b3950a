-- Let a task off its promise: its clock closes as waived, and nothing more is said of it.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id   4 reason
--        5 who, or '' when it is no operator's act   6 via
-- Reply  'ok' | 'already' | 'no_promise' | 'gone' | the state that does not allow it
-- Keeps  a promise is closed once: as met, missed or waived. The task itself goes on.
-- include queue places clock open tally histogram tell finish audit

local id = ARGV[3]
local run = redis.pcall('HMGET', run_key(id), 'state', 'queue', 'sla', 'waived', 'corr')
if run.err or not run[1] or run[2] ~= QUEUE then return 'gone' end
if not OPEN[run[1]] then return run[1] end
if run[4] then return 'already' end
if not run[3] then return 'no_promise' end
check_types()
check_audit(AUDIT)
begin_draining()
redis.call('HSET', run_key(id), 'waived', ARGV[4], 'waived_sla', run[3])
redis.call('HDEL', run_key(id), 'sla')
take_off_the_clock({ id })
count('waived')
announce('type', 'sla.waived', 'id', id, 'corr', run[5] or '', 'reason', ARGV[4])
write_tally()
audit(AUDIT, ARGV[5], ARGV[6], ARGV[4], 'waive', 'task', id)
return 'ok'
