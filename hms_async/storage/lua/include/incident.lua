-- Incidents: one for each kind of trouble of a queue, however many tasks are in it, so that 5,000
-- late tasks make one page. Needs queue, tally, outbox.
--
-- `:incident:<kind>` holds id, state (open, acknowledged, resolved), severity, first, last, count,
-- and a task for an example. It resolves by itself when its cause has been gone for a minute.

local RANK = { info = 0, warning = 1, error = 2, critical = 3 }
local RECOVERED_MS = 60000

local function incident_key(kind) return NORMAL .. ':incident:' .. kind end

local function is_open(key)
  local state = redis.call('HGET', key, 'state')
  return state == 'open' or state == 'acknowledged'
end

local function say_of_incident(key, what)
  local now = redis.call('HMGET', key, 'id', 'kind', 'severity', 'count', 'task', 'state')
  announce('type', 'incident.' .. what, 'incident', now[1], 'kind', now[2], 'severity', now[3],
    'count', now[4], 'state', now[6])
  count('incident.' .. what)
  -- Trouble with the receivers is not told to them.
  if now[2] == 'delivery' then return end
  for _, receiver in ipairs(receivers) do
    put_action(table.concat({ now[1], what, now[3], receiver }, ':'), receiver, 'type',
      'incident.' .. what, 'incident', now[1], 'about', now[2], 'severity', now[3], 'count', now[4],
      'task', now[5] or '')
  end
end

-- Something happened `n` times. Whoever is to hear of it hears once, and again if it gets worse.
local function raise_incident(kind, severity, n, task)
  local key = incident_key(kind)
  local old = redis.call('HMGET', key, 'state', 'severity')
  if old[1] ~= 'open' and old[1] ~= 'acknowledged' then
    redis.call('DEL', key)
    redis.call('HSET', key, 'id', string.format('%s:%s:%.0f', QUEUE, kind, NOW), 'kind', kind,
      'state', 'open', 'severity', severity, 'first', NOW, 'last', NOW, 'count', n, 'task',
      task or '')
    return say_of_incident(key, 'opened')
  end
  redis.call('HINCRBY', key, 'count', n)
  redis.call('HSET', key, 'last', NOW)
  redis.call('HDEL', key, 'healthy')
  if (RANK[severity] or 0) > (RANK[old[2]] or 0) then
    redis.call('HSET', key, 'severity', severity, 'state', 'open', 'task', task or '')
    say_of_incident(key, 'worsened')
  end
end

local function resolve_incident(key)
  redis.call('HSET', key, 'state', 'resolved', 'resolved', NOW)
  redis.call('HDEL', key, 'healthy')
  say_of_incident(key, 'resolved')
end

-- Once a round: an incident whose cause is gone resolves, not at once, so that one that comes and
-- goes is not told again and again. Returns whether it has just done so.
local function watch_recovery(kind, is_healthy)
  local key = incident_key(kind)
  local old = redis.call('HMGET', key, 'state', 'healthy', 'severity')
  if old[1] ~= 'open' and old[1] ~= 'acknowledged' then return end
  if not is_healthy(old[3]) then
    redis.call('HDEL', key, 'healthy')
  elseif not old[2] then
    redis.call('HSET', key, 'healthy', NOW)
  elseif NOW - tonumber(old[2]) >= RECOVERED_MS then
    resolve_incident(key)
    return true
  end
end
