-- Entries of lanes that no script of ours put there (R5, R8). Needs queue, places, clock, ladder,
-- finish, case.

local SMALL_BODY = 16384 -- records name the size of bodies above this one only
local LARGEST_RAW = 65536

-- A record for an entry that no script of ours put there: it counts as adopted (R5).
local function adopt(id, body, queue, policy, corr)
  local ladder = policy.sla and read_ladder_late(policy.ladder)
  if body then redis.call('SET', body_key(id), body) end
  redis.call('HSET', run_key(id), 'state', 'waiting', 'queue', queue, 'arrived', NOW)
  if corr then
    redis.call('HSET', run_key(id), 'corr', corr)
    add_to_case(corr, { NOW, id })
  end
  if body and #body > SMALL_BODY then redis.call('HSET', run_key(id), 'size', #body) end
  if DRIFT > 0 then redis.call('HSET', run_key(id), 'shift', DRIFT) end
  count('adopted')
  if policy.sla then
    redis.call('HSET', run_key(id), 'sla', policy.sla)
    put_on_the_clock(id, ladder, NOW - DRIFT, policy.sla)
  end
end

local function fail_at_claim(id, task, policy, kind, message)
  local fault = cjson.encode({ type = kind, message = message })
  finish(id, 'failed', task, policy.window, 'error', fault)
end

local function refuse_entry(id, entry, queue, policy, message)
  adopt(id, entry, queue, policy)
  fail_at_claim(id, { arrived = NOW, sla = policy.sla }, policy, 'EnvelopeInvalid', message)
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

-- Returns the id of the task that an entry becomes which is no id itself, or nothing.
local function adopt_entry(entry, spare_id, queue, policy)
  if string.find(entry, '^%s*{') then return adopt_json(entry, spare_id, queue, policy) end
  return refuse_entry(spare_id, entry, queue, policy, 'neither an id nor a JSON object')
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
  fail_at_claim(id, { arrived = NOW, sla = policy.sla }, policy, 'BodyLost',
    'no record of this id: body_lost')
  return false
end
