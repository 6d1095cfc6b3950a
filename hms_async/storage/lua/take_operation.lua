-- Begin, or go on, to work on an operation, for as long as the lease lives.
--
-- KEYS   1 operation:<id>   2 operations   3 operations:open   4 audit
-- ARGV   1 now_ms   2 id   3 lease in ms
-- Reply  'gone' (or it has ended) | 'held' | {number of the lease, now_ms, field, value, ...}
-- Keeps  one works on it at a time; whoever had it before, and is alive after all, writes no more.
-- include operation

check_types()
local state = redis.call('HGET', OPERATION, 'state')
local held_until = tonumber(redis.call('ZSCORE', OPEN_OPERATIONS, ID) or nil)
if not held_until or (state ~= 'running' and state ~= 'stopping') then
  redis.call('ZREM', OPEN_OPERATIONS, ID)
  return 'gone'
end
if held_until > NOW then return 'held' end
local fence = (tonumber(redis.call('HGET', OPERATION, 'fence')) or 0) + 1
begin_draining()
redis.call('HSET', OPERATION, 'fence', fence)
redis.call('HSETNX', OPERATION, 'started', NOW)
redis.call('ZADD', OPEN_OPERATIONS, NOW + tonumber(ARGV[3]), ID)
return { fence, NOW, redis.call('HGETALL', OPERATION) }
