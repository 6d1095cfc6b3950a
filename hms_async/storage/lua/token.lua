-- Keep an access token, or forget one.
--
-- KEYS   1 tokens   2 audit
-- ARGV   1 now_ms   2 id   3 what is known of it, JSON, or '' to forget it
--        4 who   5 via   6 reason   7 its roles, for the audit
-- Reply  'ok' | 'exists' | 'gone' | 'full'
-- Keeps  I8: at most 1,000 tokens ('full'). Its secret is not in what is known of it.
-- include audit

local tokens, id = KEYS[1], ARGV[2]
local there = redis.call('HEXISTS', tokens, id) == 1
check_audit(KEYS[2])
if ARGV[3] == '' then
  if not there then return 'gone' end
  redis.call('HDEL', tokens, id)
  audit(KEYS[2], ARGV[4], ARGV[5], ARGV[6], 'token.revoke', 'token', id)
  return 'ok'
end
if there then return 'exists' end
if redis.call('HLEN', tokens) >= 1000 then return 'full' end
redis.call('HSET', tokens, id, ARGV[3])
audit(KEYS[2], ARGV[4], ARGV[5], ARGV[6], 'token.create', 'token', id, 'roles', ARGV[7])
return 'ok'
