-- Try whether this user may do in a script what our scripts do.
--
-- KEYS   1 a key of nobody's
-- ARGV   1 now_ms, unused
-- Reply  the commands that were refused
-- Keeps  nothing: the key is gone before anybody can see it.

local refused = {}
-- A full server, or one that is a replica, refuses for another reason.
local function note(command, reply)
  local why = type(reply) == 'table' and reply.err or ''
  if string.find(why, 'ACL') or string.find(why, "can't run") or string.find(why, 'NOPERM') then
    refused[#refused + 1] = command
  end
end
local function try(command, ...)
  local reply = redis.pcall(command, KEYS[1], ...)
  note(command, reply)
  redis.pcall('DEL', KEYS[1])
end
try('DEL')
try('SET', '1')
try('HSET', 'a', '1')
try('RPUSH', 'a')
try('LTRIM', 0, 0)
try('SADD', 'a')
try('ZADD', 1, 'a')
try('XADD', '*', 'a', '1')
try('PEXPIRE', 1)
try('LRANGE', 0, 0)
try('HMGET', 'a')
try('ZRANGE', 0, 0)
note('TIME', redis.pcall('TIME'))
return refused
