-- ACT's round: promote what is due, rescue what a dead worker held, speak up at each rung of
-- the promise, and ring for work that nobody was woken for.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 limit of each part
-- Reply  'no_queue' | {now_ms, promoted, rescued, rungs, more, held_ms, to_do, waiting, idle}
--        rescued: five for each: id, corr or '', worker, state it went to, crashes
--        rungs:   eight for each: id, corr or '', name, percent, late_by_ms, collapsed, sla_ms,
--                 actions joined by commas
--        more:    1 when a part was full, so that another call is worth it at once
--        held_ms: for how long nothing is rescued yet, because nobody looked for a while; or 0
--        to_do:   actions in the outbox that somebody should carry out now
--        waiting: tasks in the lanes
--        idle:    acts on many tasks, of any queue, that nobody works on
-- Keeps  I3 (only an expired lease is reclaimed), I5 (a crash each, `max_crashes`), I6 (a rung
--        advances and speaks in one step; the lower ones collapse into the highest due).
-- include queue places clock open tally ladder histogram tell finish lease front promote
-- include actions outbox incident cancel rungs pace

local SWEPT = NORMAL .. ':swept'
local limit = tonumber(ARGV[3])
local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'ladder', 'max_crashes',
  'window_ms', 'lease_ms', 'max_attempts', 'clock_stood', 'clock_stopped', 'webhook', 'notify')
if not config[1] then return 'no_queue' end
set_clock(config[8], config[9])
set_receivers(config[10], config[11])
check_types()
check_types_to_speak()
local paced = read_pace()
local last, hold = string.match(redis.call('GET', SWEPT) or '', '^(%d+) (%d+)$')
local ladder = read_ladder(config[3])
begin_draining()

local window = tonumber(config[5])
local promoted, more = promote(limit, window)

-- A server that stood still, or whose clock jumped, makes every worker look dead: when nobody
-- has looked for most of a lease, its holders first get the time to renew it (R16). Not twice in a
-- row, or a round that always takes longer would never rescue anybody.
-- Returns for how long still.
local function hold_back(lease)
  local longest = math.floor(lease / 3) + 1000
  -- Never longer: the lease may have become shorter since, or the clock been set back.
  local until_ms = math.min(tonumber(hold) or 0, NOW + longest)
  local quiet_for = NOW - (tonumber(last) or 0)
  -- Half a second less than two thirds, as a renewal may be a third and a pulse old.
  if until_ms == 0 and (quiet_for < 0 or quiet_for > lease * 2 / 3 - 500) then
    until_ms = NOW + longest
  end
  if until_ms <= NOW then until_ms = 0 end
  redis.call('SET', SWEPT, string.format('%.0f %.0f', NOW, until_ms))
  return math.max(until_ms - NOW, 0)
end

local rescued, back, gone = {}, {}, {}

-- Returns what is said of a lost lease, as JSON, and whether the task ends with it.
local function last_fault(crashes, revived)
  local message = 'lease lost ' .. crashes .. (crashes == 1 and ' time' or ' times')
  local ends = crashes >= tonumber(config[4])
  -- Workers that live, but never keep the lease, take each crash back: that has an end, too.
  local lost = crashes + revived
  if not ends and lost >= tonumber(config[4]) + tonumber(config[7]) then
    message = 'lease lost ' .. lost .. ' times, ' .. revived .. ' of them by workers that live'
    ends = true
  end
  return cjson.encode({ type = 'LeaseLost', message = message }), ends
end

-- Whether the task of a lost lease cannot have been started: it was claimed ahead, and its lane has
-- made no call since (R15).
local function never_started(token)
  local incarnation, lane, seq, k = string.match(token or '', '^(.*)%-(%d+)%-(%d+)%.(%d+)$')
  if not k then return false end
  local record = redis.pcall('GET', NORMAL .. ':lane:' .. incarnation .. ':' .. lane)
  local last, to_start = string.match(type(record) == 'string' and record or '', '^(%d+) (%d+)')
  return last == seq and tonumber(k) > tonumber(to_start)
end

-- Nobody can have started it, so it goes back as if it had never been claimed.
local function put_back(id, run)
  redis.call('HDEL', run_key(id), 'token')
  redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', 'express', 'ready', NOW,
    'attempt', math.max((tonumber(run[3]) or 1) - 1, 0))
  back[#back + 1] = place_of(id, run[7], run[8])
  count('released')
end

local function rescue(id, run)
  local crashes = (tonumber(run[4]) or 0) + 1
  local fault, ends = last_fault(crashes, tonumber(run[14]) or 0)
  local task = { arrived = run[7], sla = run[9], key = run[10], corr = run[11],
    accepted = run[12] }
  local state = 'waiting'
  record_attempt(id, run[3] or 1, run[5], run[6], fault, 'lease_lost')
  redis.call('HDEL', run_key(id), 'token')
  redis.call('HSET', run_key(id), 'crashes', crashes, 'lost_token', run[2])
  if run[13] then
    state = 'cancelled' -- as somebody has asked (R17)
    no_more_cancelling(run[2])
    finish(id, state, task, window)
  elseif ends then
    state = 'failed'
    finish(id, state, task, window, 'error', fault)
  else
    redis.call('HSET', run_key(id), 'state', state, 'lane', 'express', 'ready', NOW)
    back[#back + 1] = place_of(id, run[7], run[8])
    announce('type', 'rescued', 'id', id, 'worker', run[5] or '')
  end
  count('rescued')
  for _, value in ipairs({ id, run[11] or '', run[5] or '', state, crashes }) do
    rescued[#rescued + 1] = value
  end
end

local held_ms = hold_back(tonumber(config[6]) or 30000)
local expired = held_ms > 0 and {}
  or redis.call('ZRANGEBYSCORE', INFLIGHT, '-inf', '(' .. NOW, 'LIMIT', 0, limit)
for _, id in ipairs(expired) do
  local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'attempt', 'crashes', 'worker',
    'started', 'arrived', 'nth', 'sla', 'key', 'corr', 'accepted', 'cancel', 'revived')
  if run.err or not run[1] then
    count('ended.lease_lost')
    count_error('BodyLost')
    end_without_record(id, window)
  elseif run[1] == 'in_progress' and not run[13] and never_started(run[2]) then
    put_back(id, run)
  elseif run[1] == 'in_progress' then
    rescue(id, run)
  end
  gone[#gone + 1] = id
end
put_in_front(back)
call_in_slices('ZREM', INFLIGHT, gone)
more = more or #expired >= limit

local rungs, more_rungs = sweep_rungs(ladder, limit, window)
more = more or more_rungs
write_ended()

local folded = drop_oldest_actions(ACTIONS, MOST_ACTIONS)
if folded > 0 then
  count('action.folded', folded)
  raise_incident('delivery', 'error', folded)
end
watch_recovery('sla', function(incident)
  local late = incident.severity == 'warning' and redis.call('ZCARD', AT_RISK)
    or redis.call('ZCOUNT', AT_RISK, '-inf', '(' .. NOW - DRIFT)
  if late > 0 then return false end
  -- A rung may ask for it long before a task is at risk: then it lasts as long as the last of these.
  local run = redis.pcall('HMGET', run_key(incident.task), 'state', 'sla')
  return run.err ~= nil or not (OPEN[run[1]] and run[2])
end)
watch_recovery('delivery', function() return redis.call('ZCARD', DEAD_ACTIONS) == 0 end)
local waiting = math.max(count_entries() - count_left_behind(), 0)
write_pace(paced, waiting > 0 and config[2] ~= '1')
-- With nothing left to foresee nobody makes a forecast.
if watch_recovery('forecast', function() return waiting == 0 end) then
  redis.call('HDEL', PACE, 'told')
end
count_observed()
write_tally()
if config[2] ~= '1' and count_entries() > 0 then ring() end

-- Told here, as somebody sweeps each second anyway. On a cluster they are in another slot, and whoever
-- works on them looks for himself; so he does when a foreign key is in their place.
local function count_idle_operations()
  local front = string.match(ARGV[1], '^(.*)task:$')
  local count = front and redis.pcall('ZCOUNT', front .. 'operations:open', '-inf', NOW)
  return type(count) == 'number' and count or 0
end
return { NOW, promoted, rescued, rungs, more and 1 or 0, held_ms,
  redis.call('ZCOUNT', ACTIONS, '-inf', NOW), waiting, count_idle_operations() }
