-- Say what became of an action that was taken.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id   4 the number of the try
--        5 word: done | retry | dead | again (of one that was given up)   6 delay in ms   7 why
-- Reply  'ok' | 'stale': another has taken it since, or it is gone
-- Keeps  nothing is given up in silence: it stays among the dead, and an incident is raised.
-- include queue places tally clock outbox incident

local id, word = ARGV[3], ARGV[5]
check_types()
check_types_to_speak()
local tries = redis.pcall('HGET', action_key(id), 'tries')
local set = word == 'again' and DEAD_ACTIONS or ACTIONS
if type(tries) ~= 'string' or not redis.call('ZSCORE', set, id) then return 'stale' end
if word ~= 'again' and tries ~= ARGV[4] then return 'stale' end
begin_draining()
if word == 'done' then
  redis.call('ZREM', ACTIONS, id)
  redis.call('DEL', action_key(id))
  count('action.done')
elseif word == 'retry' then
  redis.call('HSET', action_key(id), 'error', ARGV[7])
  redis.call('ZADD', ACTIONS, NOW + tonumber(ARGV[6]), id)
elseif word == 'again' then
  redis.call('HSET', action_key(id), 'tries', 0)
  redis.call('ZADD', ACTIONS, NOW, id)
  redis.call('ZREM', DEAD_ACTIONS, id)
else
  redis.call('HSET', action_key(id), 'error', ARGV[7])
  redis.call('ZADD', DEAD_ACTIONS, NOW, id)
  redis.call('ZREM', ACTIONS, id)
  drop_oldest_actions(DEAD_ACTIONS, 1000)
  count('action.dead')
  raise_incident('delivery', 'error', 1)
end
write_tally()
return 'ok'
