-- Tell that a queue's forecast has changed, once, whatever number of supervisors makes it.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 what was told last, as `forecast` gave it   4 what is told now
--        5 how many tasks will be late   6 when the first is due, in ms   7 slots wanted or ''
-- Reply  'no_queue' | 'ok' | 'already': another has told something since
-- Keeps  one incident for as long as tasks are foreseen to be late.
-- include queue places tally clock actions outbox incident pace

local misses = tonumber(ARGV[5])
local config = redis.call('HMGET', CONFIG, 'version', 'webhook', 'notify')
if not config[1] then return 'no_queue' end
set_receivers(config[2], config[3])
check_types()
check_types_to_speak()
if (redis.call('HGET', PACE, 'told') or '') ~= ARGV[3] then return 'already' end
begin_draining()
redis.call('HSET', PACE, 'told', ARGV[4])
announce('type', 'sla.forecast', 'misses', misses, 'first_miss', ARGV[6], 'slots', ARGV[7])
if misses > 0 then
  raise_incident('forecast', 'warning', 1)
else
  resolve_incident('forecast')
end
write_tally()
return 'ok'
