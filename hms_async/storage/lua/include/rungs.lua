-- Speaking up at the rungs of a promise, and acting (I6, R19). Needs queue, places, open, tally,
-- clock, ladder, tell, finish, lease, outbox, incident, cancel.
--
-- A rung advances and speaks in one step, so that it speaks once, whatever number of supervisors
-- sweeps. Of several that are due the highest speaks for all.

local SEVERITY = { note = 'info', page = 'critical' }
local to_express, no_longer_retrying = {}, {}

local function severity_of(rung)
  return SEVERITY[rung[3]] or (rung[1] < 100 and 'warning' or 'error')
end

-- The rung's next action is to find the task where this one has put it.
local function move_to_express(id, task)
  redis.call('HSET', run_key(id), 'lane', 'express')
  task.state, task.lane = 'waiting', 'express'
  to_express[#to_express + 1] = id
end

-- Cancels a task that has not ended with an action before; returns whether it has ended now. What a
-- worker holds is asked for, but not moved elsewhere: it would run twice.
local function give_up(id, task, window, ...)
  if not OPEN[task.state] or (task.state == 'in_progress' and select('#', ...) > 0) then return end
  if cancel_task(id, task, window, ...) == 'ok' then
    task.state = 'cancelled'
    return true
  end
end

-- What this script can do itself is done here; what it cannot goes to the outbox.
local function act(action, id, task, rung, at, late_by, window)
  local verb, target = string.match(action, '^([^:]+):?(.*)$')
  count('action.' .. verb)
  if verb == 'bump' then
    if task.state == 'waiting' and task.lane == 'normal' then
      move_to_express(id, task)
      count_stale(1)
      tell('bumped', id, task.corr)
    end
  elseif verb == 'requeue' then
    -- A task under a lease goes back when the lease has ended, in the same round as this.
    if task.state == 'retrying' then
      redis.call('HSET', run_key(id), 'state', 'waiting', 'ready', NOW)
      move_to_express(id, task)
      no_longer_retrying[#no_longer_retrying + 1] = id
    end
  elseif verb == 'escalate' or verb == 'page' then
    raise_incident('sla', verb == 'page' and 'critical' or severity_of(rung), 1, id)
  elseif verb == 'cancel' then
    give_up(id, task, window)
  else
    -- With the instant, as a name may stand twice in a ladder, and a clock may be started anew.
    local name = string.format('%s:%s:%s:%.0f', id, rung[3], action, at)
    if verb == 'reroute' then
      if not has_room() then
        count('action.folded')
        return raise_incident('delivery', 'error', 1, id)
      end
      -- `prune` leaves the task until the action has been carried out.
      if not give_up(id, task, window, 'moved_to', target, 'moving', name) then return end
    end
    put_action(name, verb, 'target', target, 'type', 'sla.' .. rung[3], 'task', id, 'corr',
      task.corr or '', 'percent', rung[1], 'late_by', late_by, 'arrived', task.arrived, 'due',
      task.due, 'severity', severity_of(rung))
  end
end

-- The rung that speaks now, its instant, and for how many lower ones.
local function highest_due(ladder, arrived, sla, spoken)
  local highest, highest_at, due = nil, nil, 0
  for _, rung in ipairs(ladder) do
    local at = rung_at(rung, arrived, sla)
    if at <= NOW - DRIFT and (not spoken or at > spoken) then
      due = due + 1
      if not highest_at or at >= highest_at then highest, highest_at = rung, at end
    end
  end
  return highest, highest_at, due - 1
end

-- Speaks of one task; returns what the sweep answers of it, or nothing.
local function speak(id, task, ladder, arrived, sla, window)
  local rung, at, collapsed = highest_due(ladder, arrived, sla, tonumber(task.rung))
  if not rung then return nil end
  local late_by = NOW - DRIFT - at
  redis.call('HSET', run_key(id), 'rung', at)
  count('sla.' .. rung[3])
  announce('type', 'sla.' .. rung[3], 'id', id, 'corr', task.corr or '', 'percent', rung[1],
    'late_by', late_by, 'collapsed', collapsed)
  local actions = rung[4]
  -- A task may end with its first action: then the others, but for those of the outside, are over.
  for _, action in ipairs(actions) do act(action, id, task, rung, at, late_by, window) end
  return { id, task.corr or '', rung[3], tostring(rung[1]), late_by, collapsed, sla,
    table.concat(actions, ',') }
end

-- Returns what was said, eight values a task, and whether more may be due.
local function sweep_rungs(ladder, limit, window)
  local said, next_rungs, at_risk, off = {}, {}, {}, {}
  if STOPPED then return said, false end
  local now = NOW - DRIFT
  local due = redis.call('ZRANGEBYSCORE', SLA, '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'sla', 'rung', 'corr', 'shift',
      'lane', 'key', 'accepted', 'token', 'cancel')
    local arrived, sla = tonumber(run[2]), tonumber(run[3])
    if not run.err and OPEN[run[1]] and arrived and sla then
      local task = { state = run[1], arrived = run[2], sla = run[3], rung = run[4], corr = run[5],
        lane = run[7] or 'normal', key = run[8], accepted = run[9], token = run[10],
        cancel = run[11] }
      local shift = tonumber(run[6]) or 0
      task.due = arrived + sla + DRIFT - shift
      arrived = arrived - shift
      for _, value in ipairs(speak(id, task, ladder, arrived, sla, window) or {}) do
        said[#said + 1] = value
      end
      local following = next_rung_at(ladder, arrived, sla, now)
      if following then
        next_rungs[#next_rungs + 1] = following
        next_rungs[#next_rungs + 1] = id
      else
        off[#off + 1] = id
      end
      if share_at(AT_RISK_PERCENT, arrived, sla) <= now then
        at_risk[#at_risk + 1] = arrived + sla
        at_risk[#at_risk + 1] = id
      end
    else
      off[#off + 1] = id
    end
  end
  call_in_slices('RPUSH', EXPRESS, to_express)
  call_in_slices('ZREM', RETRY, no_longer_retrying)
  call_in_slices('ZADD', SLA, next_rungs)
  call_in_slices('ZREM', SLA, off)
  -- Before `write_ended`: a task that has just ended is taken out again there.
  call_in_slices('ZADD', AT_RISK, at_risk)
  return said, #due >= limit
end
