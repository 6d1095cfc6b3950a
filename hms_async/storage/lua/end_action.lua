-- Say what became of an action that was taken.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id   4 the number of the try
--        5 word: done | retry | dead; of one that was given up: again | drop
--        6 delay in ms   7 why
--        8 who, or '' when it is no operator's act   9 via   10 reason
-- Reply  'ok' | 'stale': another has taken it since, or it is gone
-- Keeps  nothing is given up in silence: it stays among the dead, and an incident is raised.
-- include queue places tally clock actions outbox incident audit

local MOST_DEAD = 1000
local CHANNELS = { webhook = true, notify = true, call = true, reroute = true }
local id, word = ARGV[3], ARGV[5]
local was_dead = word == 'again' or word == 'drop'
check_types()
check_types_to_speak()
check_audit(AUDIT)
local action = redis.pcall('HMGET', action_key(id), 'tries', 'kind')
local tries, kind = action[1], action[2]
local set = was_dead and DEAD_ACTIONS or ACTIONS
if type(tries) ~= 'string' or not redis.call('ZSCORE', set, id) then return 'stale' end
if not was_dead and tries ~= ARGV[4] then return 'stale' end
begin_draining()

local function wait(delay, ...)
  redis.call('HSET', action_key(id), ...)
  redis.call('ZADD', ACTIONS, NOW + delay, id)
end

if not was_dead then count('delivery.' .. (CHANNELS[kind] and kind or 'other') .. '.' .. word) end
if word == 'done' or word == 'drop' then
  redis.call('ZREM', set, id)
  redis.call('DEL', action_key(id))
  count(word == 'done' and 'action.done' or 'action.dropped')
elseif word == 'retry' then
  wait(tonumber(ARGV[6]), 'error', ARGV[7])
elseif word == 'again' then
  wait(0, 'tries', 0)
  redis.call('ZREM', DEAD_ACTIONS, id)
else
  redis.call('HSET', action_key(id), 'error', ARGV[7])
  redis.call('ZADD', DEAD_ACTIONS, NOW, id)
  redis.call('ZREM', ACTIONS, id)
  drop_oldest_actions(DEAD_ACTIONS, MOST_DEAD)
  count('action.dead')
  raise_incident('delivery', 'error', 1)
end
write_tally()
audit(AUDIT, ARGV[8], ARGV[9], ARGV[10], word == 'again' and 'send_again' or word, 'action', id)
return 'ok'
