-- What is measured of a queue beside `stats` and `forecast`; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms
-- Reply  'no_queue' | {swept_ms or '', tidied_ms or '', supervisors, waited_ms or '', ran_ms or '',
--        due_ms or ''}
--        swept_ms, tidied_ms: when a supervisor last did so; supervisors: the names of those that
--                   have tidied up lately
--        waited_ms: how long the first in line has waited, of all lanes the longest; delays do not
--                   count
--        ran_ms:    for how long the attempt has run that runs longest, of a hundred
--        due_ms:    when the most urgent open task is due
-- Keeps  I8: constant work, however long the queue.
-- include queue places clock supervisors

local config = redis.call('HMGET', CONFIG, 'version', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[2], config[3])
local MOST_RUNNING, MOST_LEFT_BEHIND = 100, 10

-- The first entries of a lane may have been left behind; past a few of them nothing is known.
local function wait_of(key, lane)
  for _, id in ipairs(redis.call('LRANGE', key, 0, MOST_LEFT_BEHIND - 1)) do
    local run = #id <= LONGEST_ID and redis.pcall('HMGET', run_key(id), 'state', 'lane', 'ready',
      'arrived') or {}
    if run[1] == 'waiting' and (run[2] or 'normal') == lane then
      return math.max(NOW - (tonumber(run[3] or run[4]) or NOW), 0)
    end
  end
end

local function longest_wait()
  local longest
  for lane, key in pairs({ suspects = SUSPECTS, express = EXPRESS, normal = NORMAL }) do
    local waited = wait_of(key, lane)
    if waited then longest = math.max(longest or 0, waited) end
  end
  return longest
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

local swept = redis.pcall('GET', NORMAL .. ':swept')
local found = redis.pcall('ZREVRANGE', SUPERVISORS, 0, MOST_SUPERVISORS - 1, 'WITHSCORES')
local supervisors = {}
for i = 1, #found, 2 do
  if NOW - found[i + 1] <= LATELY_MS then supervisors[#supervisors + 1] = found[i] end
end
return { tonumber(string.match(type(swept) == 'string' and swept or '', '^%d+')) or '',
  tonumber(found[2]) or '', supervisors, longest_wait() or '', longest_run() or '',
  most_urgent() or '' }
