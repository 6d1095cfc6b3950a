-- Begin an act on many tasks of a queue.
--
-- KEYS   1 operation:<id>   2 operations   3 operations:open   4 audit
-- ARGV   1 now_ms   2 id   3 prefix of operations' keys   4 most that may be open   5 most kept
--        6 who   7 via   8 reason   9 act   10 queue   11 what is asked for, JSON
-- Reply  {'ok' | 'exists', when it was begun} | 'full'
-- Keeps  I8: of those that have ended the oldest make room. One id is one operation, so that to ask
--        again, when no answer came, begins no second one.
-- include operation audit

check_types()
check_audit(AUDIT)
local created = redis.call('HGET', OPERATION, 'created')
if created then return { 'exists', tonumber(created) } end
local open, most_open, most = redis.call('ZCARD', OPEN_OPERATIONS), tonumber(ARGV[4]), tonumber(ARGV[5])
if open >= most_open then return 'full' end
begin_draining()
redis.call('HSET', OPERATION, 'created', NOW, 'state', 'running', 'act', ARGV[9], 'queue', ARGV[10],
  'asked', ARGV[11], 'fence', 0)
redis.call('ZADD', OPERATIONS, NOW, ID)
redis.call('ZADD', OPEN_OPERATIONS, 0, ID)
local over = redis.call('ZCARD', OPERATIONS) - most
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', OPERATIONS, 0, over + open)) do
    if over > 0 and not redis.call('ZSCORE', OPEN_OPERATIONS, id) then
      redis.call('DEL', ARGV[3] .. id)
      redis.call('ZREM', OPERATIONS, id)
      over = over - 1
    end
  end
end
audit(AUDIT, ARGV[6], ARGV[7], ARGV[8], 'operation.start', 'operation', ID, 'does', ARGV[9], 'queue',
  ARGV[10], 'asked', string.sub(ARGV[11], 1, 2000))
return { 'ok', NOW }
