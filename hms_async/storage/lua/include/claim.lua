-- Take tasks from the lanes under a lease (R4, R8, R10, R14, R15). Needs queue, tally, ladder,
-- finish.

local BYTES_A_CALL = 4194304
local SMALL_BODY = 16384 -- records name the size of bodies above this one only
local LARGEST_RAW = 65536
local claimed_ids = {}
local claimed_before = 0 -- claims of the queue before this call

local function reader(key, lane)
  return { key = key, name = lane, entries = {}, position = 1, taken = 0, window = 1 }
end

-- One entry, then a few at a time as long as they are ids: how large those of foreign hands are
-- is known only when they have been read, and 10 MB take 20 ms.
local function peek(lane)
  if lane.position > #lane.entries and not lane.dry then
    lane.entries = redis.call('LRANGE', lane.key, lane.taken, lane.taken + lane.window - 1)
    lane.position = 1
    lane.dry = #lane.entries < lane.window
    local last = lane.entries[#lane.entries]
    lane.window = last and #last > SMALL_BODY and 1 or 8
  end
  return lane.entries[lane.position]
end

-- A record for an entry that no script of ours put there: it counts as adopted (R5).
local function adopt(id, body, queue, policy, corr)
  local rung = policy.sla and next_rung_at(read_ladder(policy.ladder), NOW, policy.sla)
  if body then redis.call('SET', body_key(id), body) end
  redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', 'normal', 'queue', queue,
    'arrived', NOW)
  if corr then redis.call('HSET', run_key(id), 'corr', corr) end
  if body and #body > SMALL_BODY then redis.call('HSET', run_key(id), 'size', #body) end
  count('adopted')
  if policy.sla then
    redis.call('HSET', run_key(id), 'sla', policy.sla, 'due', NOW + policy.sla)
    if rung then redis.call('ZADD', SLA, rung, id) end
  end
end

local function fail_at_claim(id, task, policy, kind, message)
  local fault = cjson.encode({ type = kind, message = message })
  finish(id, 'failed', task, policy.window, 'error', fault)
end

local function refuse_entry(id, entry, queue, policy, message)
  adopt(id, entry, queue, policy)
  fail_at_claim(id, { arrived = NOW, due = policy.sla and NOW + policy.sla, sla = policy.sla },
    policy, 'EnvelopeInvalid', message)
end

-- Returns the id of an adopted JSON object, or nothing when it was refused or dropped.
local function adopt_json(entry, spare_id, queue, policy)
  if #entry > LARGEST_RAW then
    return refuse_entry(spare_id, entry, queue, policy, 'a raw entry over 64 KiB is not read')
  end
  local readable, object = pcall(cjson.decode, entry)
  if not readable or type(object) ~= 'table' or not string.find(entry, '^%s*{') then
    return refuse_entry(spare_id, entry, queue, policy, 'not a JSON object')
  end
  if object.v ~= nil and object.v ~= 1 then
    return refuse_entry(spare_id, entry, queue, policy, 'an envelope of an unknown version')
  end
  if object.payload == nil then
    return refuse_entry(spare_id, entry, queue, policy, 'the field "payload" is missing')
  end
  local id = type(object.id) == 'string' and is_id(object.id) and object.id or spare_id
  if redis.call('EXISTS', body_key(id), run_key(id)) > 0 then
    count('dropped')
    return nil
  end
  local corr = type(object.correlation_id) == 'string' and object.correlation_id or nil
  adopt(id, entry, queue, policy, corr)
  return id
end

-- The record of a task that is claimed; without a lane it is the normal one.
local function read_record(id)
  local record = run_key(id)
  local run = redis.pcall('HMGET', record, 'state', 'lane', 'queue', 'arrived', 'ready', 'due',
    'attempt', 'crashes', 'size')
  return run[1] and { id = id, record = record, state = run[1], lane = run[2] or 'normal',
    queue = run[3], arrived = run[4], ready = run[5], due = run[6], attempt = tonumber(run[7]) or 0,
    crashes = tonumber(run[8]) or 0, size = run[9] }
end

-- An id without a record. Returns whether it is what was left behind by a task that has moved
-- on, or that has been forgotten since; else it ends in failed: one of ours that lost its record,
-- or a stranger's.
local function is_left_behind(id, queue, policy, stale)
  for _, set in ipairs({ SCHEDULED, RETRY, INFLIGHT, unpack(ENDED) }) do
    if redis.call('ZSCORE', set, id) then return true end
  end
  if redis.call('EXISTS', body_key(id), run_key(id)) > 0 then
    end_without_record(id, policy.window)
    return false
  end
  if stale > 0 then return true end
  adopt(id, nil, queue, policy)
  fail_at_claim(id, { arrived = NOW, due = policy.sla and NOW + policy.sla, sla = policy.sla },
    policy, 'BodyLost', 'no record of this id: body_lost')
  return false
end

-- Looks at one entry of a lane and returns the record to claim, or nothing.
-- Second value: whether the entry was one that a script had left behind.
local function examine(entry, raw, lane, spare_id, queue, policy, seen, stale)
  local id = entry
  if raw then
    if string.find(entry, '^%s*{') then
      id = adopt_json(entry, spare_id, queue, policy)
    else
      id = refuse_entry(spare_id, entry, queue, policy, 'neither an id nor a JSON object')
    end
    return id and read_record(id), false
  end
  if seen[id] then return nil, true end
  local task = read_record(id)
  if not task then return nil, is_left_behind(id, queue, policy, stale) end
  if task.queue ~= queue then
    count('dropped') -- a foreign hand pushed the id of another queue's task
    return nil, false
  end
  if task.state ~= 'waiting' or task.lane ~= lane then return nil, true end
  return task, false
end

-- A task that one more crash would fail may be what kills its workers (R15). With a limit of one
-- crash every task would be.
local function is_suspect(crashes, policy)
  return crashes > 0 and crashes >= policy.max_crashes - 1
end

-- Chooses up to `want` records, of them at most `suspects` suspects, who come first, and then up
-- to `ahead` more, as long as they have not crashed. Every fourth claim is the normal lane's while
-- it has any, so that the express lane starves nobody; the turn goes on from one call to the next.
-- Returns the records, the ids of suspects to put aside, and how many entries were left behind.
local function choose(want, ahead, suspects, lanes, token_stem, queue, policy)
  local picked, aside, seen = {}, {}, {}
  local stale, examined, bytes = 0, 0, 0
  local counts = redis.call('HMGET', COUNTS, 'claimed', 'stale')
  local turn, stale_before = tonumber(counts[1] or 0), tonumber(counts[2] or 0)
  claimed_before = turn
  while #picked < want + ahead and examined < want + ahead + 500 and bytes < BYTES_A_CALL do
    if #picked >= want then suspects = 0 end
    local first, second = peek(lanes.express), peek(lanes.normal)
    local lane = lanes.express
    if suspects > 0 and peek(lanes.suspects) then
      lane = lanes.suspects
    elseif not first and not second then
      break
    elseif not first or (second and (turn + #picked) % 4 == 3) then
      lane = lanes.normal
    end
    local entry = lane.entries[lane.position]
    local raw = not is_id(entry)
    if raw then
      -- Adopting writes, so there must be room for the body before.
      if examined > 0 and bytes + math.max(#entry, SMALL_BODY) > BYTES_A_CALL then break end
      bytes = bytes + #entry
    end
    examined = examined + 1
    local task, left_behind = examine(entry, raw, lane.name, token_stem .. 'x' .. examined, queue,
      policy, seen, stale_before - stale)
    if task and #picked >= want and task.crashes > 0 then break end
    if task then
      local suspect = is_suspect(task.crashes, policy)
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

local suspect_token = ''

local function put_aside(ids)
  for _, id in ipairs(ids) do redis.call('HSET', run_key(id), 'lane', 'suspects') end
  call_in_slices('RPUSH', SUSPECTS, ids)
end

-- Returns the claims, how many of them are to be started at once, and whether suspects may be of
-- use to others now.
local function claim(want, ahead, suspects, token_stem, worker, queue, lease, policy)
  local lanes = { suspects = reader(SUSPECTS, 'suspects'), express = reader(EXPRESS, 'express'),
    normal = reader(NORMAL, 'normal') }
  local picked, aside, stale = choose(want, ahead, suspects, lanes, token_stem, queue,
    policy)
  local bodies = {}
  if #picked > 0 then
    local keys = {}
    for i, task in ipairs(picked) do keys[i] = body_key(task.id) end
    bodies = redis.call('MGET', unpack(keys))
  end
  local claims, leases, to_start = {}, {}, 0
  for i, task in ipairs(picked) do
    local id, body = task.id, bodies[i]
    if not body then
      local rest = redis.call('HMGET', task.record, 'sla', 'key', 'corr', 'accepted')
      task.sla, task.key, task.corr, task.accepted = unpack(rest, 1, 4)
      fail_at_claim(id, task, policy, 'BodyLost', 'the body is gone: body_lost')
    else
      local token = token_stem .. (#claimed_ids + 1)
      local attempt, since_when = task.attempt + 1, task.ready or task.arrived
      redis.call('HSET', task.record, 'state', 'in_progress', 'token', token, 'worker', worker,
        'started', NOW, 'attempt', attempt, 'nth', claimed_before + #claimed_ids + 1)
      observe_since(WAITED, since_when)
      claimed_ids[#claimed_ids + 1] = id
      if i <= want then to_start = to_start + 1 end
      if task.suspect then suspect_token = token end
      leases[#leases + 1] = NOW + lease
      leases[#leases + 1] = id
      local n = #claims
      claims[n + 1], claims[n + 2], claims[n + 3] = id, token, attempt
      claims[n + 4], claims[n + 5] = task.crashes, tonumber(task.arrived) or NOW
      claims[n + 6], claims[n + 7], claims[n + 8] = task.due or '', since(since_when), body
    end
  end
  -- New place before old place (R8).
  call_in_slices('ZADD', INFLIGHT, leases)
  -- What is put aside goes to the end of a lane of which only the front is taken.
  put_aside(aside)
  for _, lane in pairs(lanes) do
    if lane.taken > 0 then redis.call('LTRIM', lane.key, lane.taken, -1) end
  end
  count_stale(-stale)
  if #claimed_ids > 0 then count('claimed', #claimed_ids) end
  return claims, to_start, suspect_token ~= '' or #aside > 0
end

-- The same number again: the recorded claims whose token still holds, leases renewed (R2), and how
-- many of them are to be started at once.
local function claim_again(ids, last_to_start, token_stem, lease, policy)
  local claims, to_start, k = {}, 0, 0
  for id in string.gmatch(ids, '%S+') do
    k = k + 1
    local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'attempt', 'crashes',
      'arrived', 'due')
    local token = token_stem .. k
    local body = redis.call('MGET', body_key(id))[1]
    if not run.err and run[1] == 'in_progress' and run[2] == token and body then
      redis.call('ZADD', INFLIGHT, 'XX', NOW + lease, id)
      if k <= last_to_start then to_start = to_start + 1 end
      if is_suspect(tonumber(run[4]) or 0, policy) then suspect_token = token end
      local n = #claims
      claims[n + 1], claims[n + 2], claims[n + 3] = id, token, tonumber(run[3])
      claims[n + 4], claims[n + 5] = tonumber(run[4]) or 0, tonumber(run[5]) or NOW
      claims[n + 6], claims[n + 7], claims[n + 8] = run[6] or '', 0, body
    end
  end
  return claims, to_start
end
