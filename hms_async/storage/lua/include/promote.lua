-- Scheduled and retrying tasks whose time has come enter a lane (R12, R14).
-- Needs queue, places, clock, finish.

-- A scheduled task's clock starts when it is due. It may have stood still since the task was
-- accepted, and its rung was reckoned with then.
local function start_clock(id, at)
  if DRIFT == 0 then return end
  local behind = DRIFT - (STOPPED and math.max(NOW - math.max(at, STOPPED), 0) or 0)
  local shift = tonumber(redis.call('HGET', run_key(id), 'shift')) or 0
  if behind == shift then return end
  redis.call('HSET', run_key(id), 'shift', behind)
  if redis.call('ZSCORE', SLA, id) then redis.call('ZINCRBY', SLA, shift - behind, id) end
end

local function promote_from(zset, from_state, limit, window)
  local due = redis.call('ZRANGEBYSCORE', zset, '-inf', NOW, 'WITHSCORES', 'LIMIT', 0, limit)
  local lanes = { normal = {}, express = {} }
  local ids = {}
  for i = 1, #due, 2 do
    local id, at = due[i], due[i + 1]
    ids[#ids + 1] = id
    local run = redis.pcall('HMGET', run_key(id), 'state', 'lane')
    if run.err or not run[1] then
      end_without_record(id, window)
    -- The record is the truth: an entry that it does not confirm only leaves the set (R4).
    elseif run[1] == from_state then
      local lane = 'express'
      if from_state == 'scheduled' then
        -- Its record says since it was accepted which lane it enters, and when that is.
        start_clock(id, tonumber(at))
        redis.call('HSET', run_key(id), 'state', 'waiting')
        if run[2] ~= 'express' then lane = 'normal' end
      else
        redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', lane, 'ready', at)
      end
      local list = lanes[lane]
      list[#list + 1] = id
    end
  end
  call_in_slices('RPUSH', NORMAL, lanes.normal)
  call_in_slices('RPUSH', EXPRESS, lanes.express)
  call_in_slices('ZREM', zset, ids)
  return #lanes.normal + #lanes.express, #ids
end

-- Returns how many entered a lane, and whether more may be due. `window` is for tasks whose record
-- is gone.
local function promote(limit, window)
  local scheduled, seen_scheduled = promote_from(SCHEDULED, 'scheduled', limit, window)
  local retried, seen_retrying = promote_from(RETRY, 'retrying', limit, window)
  return scheduled + retried, seen_scheduled >= limit or seen_retrying >= limit
end
