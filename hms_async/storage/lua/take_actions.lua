-- Take actions out of the outbox for a while, to carry them out.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 limit   4 for how long, in ms: then another may take them
-- Reply  'no_queue' | for each: {id, tries, field, value, ...}
-- Keeps  at least once (R19): one that is taken by a process that dies comes again.
-- include queue places tally outbox

if redis.call('EXISTS', CONFIG) == 0 then return 'no_queue' end
redis.call('ZCARD', ACTIONS)
local due = redis.call('ZRANGEBYSCORE', ACTIONS, '-inf', NOW, 'LIMIT', 0, tonumber(ARGV[3]))
local taken, leases, lost = {}, {}, {}
begin_draining()
for _, id in ipairs(due) do
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
