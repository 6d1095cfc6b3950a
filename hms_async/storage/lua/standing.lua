-- How a queue stands: all that a row of a list of queues tells, and what is measured; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 how many waiting tasks to look at
-- Reply  'no_queue' | {settings, incidents, stats, forecast, measures}
--        settings:  as field, value, ...
--        incidents: likewise the last of each kind, in the order sla, forecast, delivery; each empty
--                   if there is none
--        stats, forecast: what the scripts of these names reply
--        measures:  {swept_ms or '', tidied_ms or '', supervisors, waited_ms or '', ran_ms or '',
--                   due_ms or ''}
--          swept_ms, tidied_ms: when a supervisor last did so; supervisors: the names of those that
--                   have tidied up lately
--          waited_ms: how long the first in line has waited, of all lanes the longest; delays do not
--                   count
--          ran_ms:  for how long the attempt has run that runs longest, of a hundred
--          due_ms:  when the most urgent open task is due
-- Keeps  I8: constant work, however long the queue.
-- include queue places clock actions line stats pace backlog supervisors

local MOST_RUNNING = 100

-- A key of another type, which a foreign hand has put there, shows nothing.
local function all_of(key)
  local found = redis.pcall('HGETALL', key)
  return found.err and {} or found
end

local function longest_run()
  local longest
  for _, id in ipairs(redis.call('ZRANGE', INFLIGHT, 0, MOST_RUNNING - 1)) do
    local started = redis.pcall('HGET', run_key(id), 'started')
    local ran = NOW - (tonumber(type(started) == 'string' and started) or NOW)
    longest = math.max(longest or 0, ran)
  end
  return longest
end

-- The first of those at risk, or the one whose promise will next be. With promises of several
-- lengths another may be more urgent than the latter.
local function most_urgent()
  local late = redis.pcall('ZRANGE', AT_RISK, 0, 0, 'WITHSCORES')
  local due = tonumber(late[2])
  due = due and due + DRIFT
  local id = redis.call('ZRANGE', SLA, 0, 0)[1]
  local run = id and redis.pcall('HMGET', run_key(id), 'arrived', 'sla') or {}
  local arrived, sla = tonumber(run[1]), tonumber(run[2])
  if arrived and sla then due = math.min(due or math.huge, arrived + sla + grace_of(id)) end
  return due
end

local function measure(waited)
  local swept = redis.pcall('GET', NORMAL .. ':swept')
  local found = redis.pcall('ZREVRANGE', SUPERVISORS, 0, MOST_SUPERVISORS - 1, 'WITHSCORES')
  local supervisors = {}
  for i = 1, #found, 2 do
    if NOW - found[i + 1] <= LATELY_MS then supervisors[#supervisors + 1] = found[i] end
  end
  return { tonumber(string.match(type(swept) == 'string' and swept or '', '^%d+')) or '',
    tonumber(found[2]) or '', supervisors, waited or '', longest_run() or '', most_urgent() or '' }
end

local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'sla_ms', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[4], config[5])
local line = count_line()
local oldest, waited = look_at_heads()
local incidents = {}
for i, kind in ipairs({ 'sla', 'forecast', 'delivery' }) do
  incidents[i] = all_of(NORMAL .. ':incident:' .. kind)
end
return { redis.call('HGETALL', CONFIG), incidents, read_stats(config[2], config[3], line, oldest),
  read_backlog(config[2], line, tonumber(ARGV[3])), measure(waited) }
