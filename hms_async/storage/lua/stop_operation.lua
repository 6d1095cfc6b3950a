-- Ask that an operation comes to its end; whoever works on it hears of it with the next step.
--
-- KEYS   1 operation:<id>   2 operations   3 operations:open   4 audit
-- ARGV   1 now_ms   2 id   3 who   4 via   5 reason
-- Reply  'ok' | 'already' | 'gone' | 'final': its queue is gone, only its keys are left
--        | the state that it has ended in
-- include operation audit

check_types()
check_audit(AUDIT)
local read = redis.call('HMGET', OPERATION, 'state', 'final', 'act', 'queue')
local state = read[1]
if not state then return 'gone' end
if state == 'stopping' then return 'already' end
if state ~= 'running' then return state end
if read[2] then return 'final' end
begin_draining()
redis.call('HSET', OPERATION, 'state', 'stopping')
audit(AUDIT, ARGV[3], ARGV[4], ARGV[5], 'operation.stop', 'operation', ID, 'does', read[3] or '',
  'queue', read[4] or '')
return 'ok'
