-- Say how far an operation is, and keep it; or let go of it, or end it.
--
-- KEYS   1 operation:<id>   2 operations   3 operations:open   4 audit
-- ARGV   1 now_ms   2 id   3 number of the lease   4 lease in ms, 0 to let go of it
--        5 '' or the state that it ends in   6 what came of it, for people   then field, value, ...
-- Reply  {the state, now_ms} | 'stale': another works on it, or nobody may any more
-- Keeps  only the last lease writes. What has ended is kept for 30 days.
-- include operation audit

check_types()
check_audit(AUDIT)
local read = redis.call('HMGET', OPERATION, 'state', 'fence', 'asked', 'act', 'queue')
if read[2] ~= ARGV[3] or not redis.call('ZSCORE', OPEN_OPERATIONS, ID) then return 'stale' end
local state = read[1]
begin_draining()
if #ARGV > 6 then redis.call('HSET', OPERATION, unpack(ARGV, 7)) end
if ARGV[5] == '' then
  local lease = tonumber(ARGV[4])
  redis.call('ZADD', OPEN_OPERATIONS, lease > 0 and NOW + lease or 0, ID)
  return { state, NOW }
end
redis.call('HSET', OPERATION, 'state', ARGV[5], 'finished', NOW)
redis.call('PEXPIRE', OPERATION, KEPT_MS)
redis.call('ZREM', OPEN_OPERATIONS, ID)
audit(AUDIT, 'operation', 'operation', '', 'operation.end', 'operation', ID, 'does', read[4], 'queue',
  read[5], 'state', ARGV[5], 'outcome', ARGV[6])
return { ARGV[5], NOW }
