-- Take tasks from the lanes under a lease (R4, R8, R10, R14, R15). Needs queue, places, finish,
-- adopt.

local BYTES_A_CALL = 4194304
local claimed_before = 0 -- claims of the queue before this call

local function reader(key, lane, length)
  return { key = key, name = lane, entries = {}, position = 1, taken = 0, window = 1,
    dry = length == 0 }
end

-- One entry, then a few at a time as long as they are ids: how large those of foreign hands are
-- is known only when they have been read, and 10 MB take 20 ms.
local function peek(lane)
  local entry = lane.entries[lane.position]
  if entry or lane.dry then return entry end
  lane.entries = redis.call('LRANGE', lane.key, lane.taken, lane.taken + lane.window - 1)
  lane.position = 1
  lane.dry = #lane.entries < lane.window
  local last = lane.entries[#lane.entries]
  lane.window = last and #last > SMALL_BODY and 1 or 8
  return lane.entries[1]
end

-- The record of a task that is claimed; without a lane it is the normal one.
local function read_record(id)
  local record = run_key(id)
  local run = redis.pcall('HMGET', record, 'state', 'lane', 'queue', 'arrived', 'ready', 'sla',
    'attempt', 'crashes', 'size', 'limits')
  return run[1] and { id = id, record = record, state = run[1], lane = run[2] or 'normal',
    queue = run[3], arrived = run[4], ready = run[5], sla = run[6], attempt = tonumber(run[7]) or 0,
    crashes = tonumber(run[8]) or 0, size = run[9],
    limits = run[10] }
end

-- Whether a task is not to be started any more: its time is over, so it ends here.
local function ends_unstarted(task, policy)
  local id, arrived = task.id, tonumber(task.arrived)
  local rest = redis.call('HMGET', task.record, 'expires', 'max_wait', 'key', 'corr', 'accepted')
  task.key, task.corr, task.accepted = rest[3], rest[4], rest[5]
  local expires, most = tonumber(rest[1]), tonumber(rest[2]) or policy.max_wait
  local due = policy.expire_late and due_of(id, arrived, task.sla)
  if (expires and NOW > expires) or (tonumber(due) and NOW > due) then
    finish(id, 'expired', task, policy.window)
    return true
  end
  local waited = NOW - (tonumber(task.ready) or arrived or NOW)
  -- A pause that stops the clock is nobody's wait. Which of them came before a later attempt is not
  -- known, so all since the arrival count: rather too long a wait than a failure for a pause.
  if most and waited > most then waited = waited - grace_of(id) end
  if most and waited > most then
    fail_at_claim(id, task, policy, 'MaxWaitExceeded',
      'waited ' .. waited .. ' ms for an attempt, may wait ' .. most)
    return true
  end
  return false
end

-- Looks at the record of an entry of a lane and returns it if it is to be claimed, or nothing.
-- Second value: whether the entry was one that a script had left behind.
local function examine(id, task, lane, queue, policy, seen, stale)
  if not task then return nil, is_left_behind(id, queue, policy, stale) end
  if task.queue ~= queue then
    count('dropped') -- a foreign hand pushed the id of another queue's task
    return nil, false
  end
  if seen[id] or task.state ~= 'waiting' or task.lane ~= lane then return nil, true end
  if (task.limits or policy.max_wait or policy.expire_late) and ends_unstarted(task, policy) then
    return nil, false
  end
  return task, false
end

-- Chooses up to `want` records, of them at most `suspects` suspects, who come first, and then up
-- to `ahead` more, as long as they have not crashed. Every fourth claim is the normal lane's while
-- it has any, so that the express lane starves nobody; the turn goes on from one call to the next.
-- Returns the records, the ids of suspects to put aside, and how many entries were left behind.
local function choose(want, ahead, suspects, readers, token_stem, queue, policy)
  local picked, aside, seen = {}, {}, {}
  local stale, examined, bytes = 0, 0, 0
  local counts = redis.call('HMGET', COUNTS, 'claimed', 'stale')
  local turn, stale_before = tonumber(counts[1] or 0), tonumber(counts[2] or 0)
  claimed_before = turn
  while #picked < want + ahead and examined < want + ahead + 500 and bytes < BYTES_A_CALL do
    if #picked >= want then suspects = 0 end
    local first, second = peek(readers.express), peek(readers.normal)
    local lane = readers.express
    if suspects > 0 and peek(readers.suspects) then
      lane = readers.suspects
    elseif not first and not second then
      break
    elseif not first or (second and (turn + #picked) % 4 == 3) then
      lane = readers.normal
    end
    local entry = lane.entries[lane.position]
    -- Most entries have a record; only of the others it is asked what they are.
    local task, left_behind = #entry <= LONGEST_ID and read_record(entry), nil
    local raw = not task and not is_id(entry)
    if raw then
      -- Adopting writes, so there must be room for the body before.
      if examined > 0 and bytes + math.max(#entry, SMALL_BODY) > BYTES_A_CALL then break end
      bytes = bytes + #entry
    end
    examined = examined + 1
    if raw then
      local id = adopt_entry(entry, token_stem .. 'x' .. examined, queue, policy)
      task = id and read_record(id)
    else
      task, left_behind = examine(entry, task, lane.name, queue, policy, seen,
        stale_before - stale)
    end
    if task and #picked >= want and task.crashes > 0 then break end
    if task then
      local suspect = task.crashes >= policy.suspect_at
      if suspect and suspects == 0 then
        aside[#aside + 1] = task.id
      else
        if not raw then bytes = bytes + (tonumber(task.size) or SMALL_BODY) end
        if #picked > 0 and bytes > BYTES_A_CALL then break end
        picked[#picked + 1] = task
        task.suspect = suspect
        if suspect then suspects = suspects - 1 end
      end
      seen[task.id] = true
    elseif left_behind then
      stale = stale + 1
    end
    lane.position = lane.position + 1
    lane.taken = lane.taken + 1
  end
  return picked, aside, stale
end

local function put_aside(ids)
  for _, id in ipairs(ids) do redis.call('HSET', run_key(id), 'lane', 'suspects') end
  call_in_slices('RPUSH', SUSPECTS, ids)
end

-- Adds to `taken`, which the exchange begins, what it claims: eight values for each task, their ids,
-- how many are to be started at once, the token of the suspect, whether suspects may be of use to
-- others now. `lanes` has how many entries each lane has, and keeps up.
local function claim(taken, lanes, want, ahead, suspects, token_stem, worker, queue, lease, policy)
  local readers = {
    normal = reader(NORMAL, 'normal', lanes.normal),
    express = reader(EXPRESS, 'express', lanes.express),
    suspects = reader(SUSPECTS, 'suspects', lanes.suspects),
  }
  local picked, aside, stale = choose(want, ahead, suspects, readers, token_stem, queue, policy)
  local bodies = {}
  if #picked > 0 then
    local keys = {}
    for i, task in ipairs(picked) do keys[i] = body_key(task.id) end
    bodies = redis.call('MGET', unpack(keys))
  end
  local claims, ids, leases = taken.claims, taken.ids, {}
  local expires = digits(NOW + lease)
  for i, task in ipairs(picked) do
    local id, body = task.id, bodies[i]
    if not body then
      local rest = redis.call('HMGET', task.record, 'key', 'corr', 'accepted')
      task.key, task.corr, task.accepted = unpack(rest, 1, 3)
      fail_at_claim(id, task, policy, 'BodyLost', 'the body is gone: body_lost')
    else
      local k = #ids + 1
      local token, attempt, arrived = token_stem .. k, task.attempt + 1, tonumber(task.arrived)
      redis.call('HSET', task.record, 'state', 'in_progress', 'token', token, 'worker', worker,
        'started', NOW_TEXT, 'attempt', attempt, 'nth', claimed_before + k)
      local waited = observe_since(WAITED, tonumber(task.ready) and task.ready or task.arrived)
      ids[k] = id
      if i <= want then taken.to_start = taken.to_start + 1 end
      if task.suspect then taken.suspect = token end
      leases[2 * k - 1], leases[2 * k] = expires, id
      local n = #claims
      claims[n + 1], claims[n + 2], claims[n + 3] = id, token, attempt
      claims[n + 4], claims[n + 5] = task.crashes, arrived or NOW
      claims[n + 6], claims[n + 7], claims[n + 8] = due_of(id, arrived, task.sla), waited, body
    end
  end
  -- New place before old place (R8).
  call_in_slices('ZADD', INFLIGHT, leases)
  -- What is put aside goes to the end of a lane of which only the front is taken.
  put_aside(aside)
  lanes.suspects = lanes.suspects + #aside
  for name, lane in pairs(readers) do
    if lane.taken > 0 then redis.call('LTRIM', lane.key, lane.taken, -1) end
    lanes[name] = lanes[name] - lane.taken
  end
  count_stale(-stale)
  if #ids > 0 then count('claimed', #ids) end
  taken.others_wanted = taken.suspect ~= '' or #aside > 0
end
