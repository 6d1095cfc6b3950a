-- Incidents: one for each kind of trouble of a queue, however many tasks are in it, so that 5,000
-- late tasks make one page. Needs queue, tally, outbox.
--
-- `:incident:<kind>` holds id, state (open, acknowledged, resolved), severity, first, last, count,
-- and the last task for an example. It resolves by itself when its cause has been gone for a minute.

local RANK = { info = 0, warning = 1, error = 2, critical = 3 }
local RECOVERED_MS = 60000

local function incident_key(kind) return NORMAL .. ':incident:' .. kind end

-- The incident of a key if it is open, or nothing. One of which a foreign hand has taken a part is
-- none: the next trouble writes it anew, and no command can fail for it after a write (R8).
local function open_incident(key)
  local read = redis.call('HMGET', key, 'state', 'id', 'kind', 'severity', 'count', 'task', 'healthy')
  local incident = { state = read[1], id = read[2], kind = read[3], severity = read[4],
    count = tonumber(read[5]), task = read[6] or '', healthy = tonumber(read[7]) }
  local whole = incident.id and incident.kind and RANK[incident.severity] and incident.count
  if whole and (incident.state == 'open' or incident.state == 'acknowledged') then return incident end
end

local function say_of_incident(incident, what)
  local id, kind, severity = incident.id, incident.kind, incident.severity
  announce('type', 'incident.' .. what, 'incident', id, 'kind', kind, 'severity', severity,
    'count', incident.count, 'state', incident.state)
  count('incident.' .. what)
  -- Trouble with the receivers is not told to them.
  if kind == 'delivery' then return end
  for _, receiver in ipairs(receivers) do
    put_action(table.concat({ id, what, severity, receiver }, ':'), receiver, 'type',
      'incident.' .. what, 'incident', id, 'about', kind, 'severity', severity, 'count',
      incident.count, 'task', incident.task)
  end
end

-- Something happened `n` times. Whoever is to hear of it hears once, and again if it gets worse.
local function raise_incident(kind, severity, n, task)
  local key = incident_key(kind)
  local incident = open_incident(key)
  if not incident then
    incident = { id = string.format('%s:%s:%.0f', QUEUE, kind, NOW), kind = kind, state = 'open',
      severity = severity, count = n, task = task or '' }
    redis.call('DEL', key)
    redis.call('HSET', key, 'id', incident.id, 'kind', kind, 'state', 'open', 'severity', severity,
      'first', NOW, 'last', NOW, 'count', n, 'task', incident.task)
    return say_of_incident(incident, 'opened')
  end
  incident.count = incident.count + n
  incident.task = task or ''
  redis.call('HSET', key, 'count', string.format('%.0f', incident.count), 'last', NOW, 'task',
    incident.task)
  redis.call('HDEL', key, 'healthy')
  if RANK[severity] > RANK[incident.severity] then
    incident.severity, incident.state = severity, 'open'
    redis.call('HSET', key, 'severity', severity, 'state', 'open')
    say_of_incident(incident, 'worsened')
  end
end

local function resolve_incident(kind)
  local key = incident_key(kind)
  local incident = open_incident(key)
  if not incident then return end
  incident.state = 'resolved'
  redis.call('HSET', key, 'state', 'resolved', 'resolved', NOW)
  redis.call('HDEL', key, 'healthy')
  say_of_incident(incident, 'resolved')
end

-- Once a round: an incident whose cause is gone resolves, not at once, so that one that comes and
-- goes is not told again and again. Returns whether it has just done so.
local function watch_recovery(kind, is_healthy)
  local key = incident_key(kind)
  local incident = open_incident(key)
  if not incident then return end
  if not is_healthy(incident) then
    redis.call('HDEL', key, 'healthy')
  elseif not incident.healthy then
    redis.call('HSET', key, 'healthy', NOW)
  elseif NOW - incident.healthy >= RECOVERED_MS then
    resolve_incident(kind)
    return true
  end
end
