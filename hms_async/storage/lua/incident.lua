-- Acknowledge an incident, or say that the cause of one has come or gone.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 kind: sla | forecast | delivery
--        4 act: acknowledge | raise | resolve   5 who acknowledges, or the severity   6 reason
-- Reply  'no_queue' | 'ok' | 'already' | 'none' (no incident of this kind is open)
-- Keeps  one incident for each kind; whoever is to hear of it hears once.
-- include queue tally clock outbox incident

local kind, act = ARGV[3], ARGV[4]
local config = redis.call('HMGET', CONFIG, 'version', 'webhook', 'notify')
if not config[1] then return 'no_queue' end
set_receivers(config[2], config[3])
check_types()
check_types_to_speak()
local key = incident_key(kind)
local state = redis.call('HGET', key, 'state')
local open = state == 'open' or state == 'acknowledged'
if act ~= 'raise' and not open then return 'none' end
if act == 'acknowledge' and state == 'acknowledged' then return 'already' end
begin_draining()
if act == 'raise' then
  raise_incident(kind, ARGV[5], 1)
elseif act == 'resolve' then
  resolve_incident(key)
else
  redis.call('HSET', key, 'state', 'acknowledged', 'by', ARGV[5], 'reason', ARGV[6], 'acked', NOW)
  say_of_incident(key, 'acknowledged')
end
write_tally()
return 'ok'
