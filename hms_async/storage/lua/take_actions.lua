-- Take actions out of the outbox for a while, to carry them out.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 limit   4 for how long, in ms: then another may take them
--        then, unless it is everything, what the caller can carry out: a kind, or call:<function>.
--        What it cannot is left to others for a minute; then it may say so
-- Reply  'no_queue' | for each: {id, tries, field, value, ...}
-- Keeps  at least once (R19): one that is taken by a process that dies comes again.
-- include queue places actions

if redis.call('HEXISTS', CONFIG, 'version') == 0 then return 'no_queue' end
redis.call('ZCARD', ACTIONS)
local LEFT_TO_OTHERS_MS = 60000
local limit = tonumber(ARGV[3])
local able = {}
for i = 5, #ARGV do able[ARGV[i]] = true end

local function is_for_others(id, due_since)
  if #ARGV < 5 or NOW - due_since >= LEFT_TO_OTHERS_MS then return false end
  local action = redis.pcall('HMGET', action_key(id), 'kind', 'target')
  local kind, target = action[1], action[2]
  return kind and not able[kind == 'call' and kind .. ':' .. (target or '') or kind]
end

-- More than are taken, so that a few that are for others hold up none behind them.
local due = redis.call('ZRANGEBYSCORE', ACTIONS, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, 10 * limit)
local wanted = {}
for i = 1, #due, 2 do
  if #wanted < limit and not is_for_others(due[i], tonumber(due[i + 1])) then
    wanted[#wanted + 1] = due[i]
  end
end
local taken, leases, lost = {}, {}, {}
begin_draining()
for _, id in ipairs(wanted) do
  local tries = redis.pcall('HINCRBY', action_key(id), 'tries', 1)
  local fields = type(tries) == 'number' and redis.call('HGETALL', action_key(id)) or {}
  if #fields > 2 then
    leases[#leases + 1] = NOW + tonumber(ARGV[4])
    leases[#leases + 1] = id
    taken[#taken + 1] = { id, tries, unpack(fields) }
  else
    lost[#lost + 1] = id
    redis.call('DEL', action_key(id))
  end
end
call_in_slices('ZADD', ACTIONS, leases)
call_in_slices('ZREM', ACTIONS, lost)
return taken
