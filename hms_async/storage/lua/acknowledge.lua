-- Acknowledge an incident: somebody is at it.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 kind: sla | forecast | delivery   4 who   5 reason
--        6 via
-- Reply  'no_queue' | 'ok' | 'already' | 'none' (no incident of this kind is open)
-- Keeps  an incident that gets worse afterwards is open again, and told again.
-- include queue places tally clock actions outbox incident audit

local config = redis.call('HMGET', CONFIG, 'version', 'webhook', 'notify')
if not config[1] then return 'no_queue' end
set_receivers(config[2], config[3])
check_types()
check_types_to_speak()
check_audit(AUDIT)
local key = incident_key(ARGV[3])
local incident = open_incident(key)
if not incident then return 'none' end
if incident.state == 'acknowledged' then return 'already' end
begin_draining()
incident.state = 'acknowledged'
redis.call('HSET', key, 'state', 'acknowledged', 'by', ARGV[4], 'reason', ARGV[5], 'acked', NOW)
say_of_incident(incident, 'acknowledged')
write_tally()
audit(AUDIT, ARGV[4], ARGV[6], ARGV[5], 'acknowledge', 'kind', ARGV[3], 'incident', incident.id)
return 'ok'
