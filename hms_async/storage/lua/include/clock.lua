-- The clock of a queue, and the rungs of its promise. Needs queue.
--
-- The queue clock is the server's, less all the time that it stood still in pauses that stop it
-- (R18). The scores of `:sla` and `:at_risk` are its milliseconds, so that a pause re-scores
-- nothing. `shift` in a record says how far the clock was behind when the task arrived.

local AT_RISK = NORMAL .. ':at_risk'
local AT_RISK_PERCENT = 80

local STOPPED = false -- since when the clock stands still
local DRIFT = 0       -- how far it is behind

-- `stood` and `stopped` are the settings `clock_stood` and `clock_stopped`.
local function set_clock(stood, stopped)
  STOPPED = tonumber(stopped)
  DRIFT = (tonumber(stood) or 0) + (STOPPED and math.max(NOW - STOPPED, 0) or 0)
end

-- How far the clock was behind at an instant since the last pause ended.
local function drift_at(instant)
  return DRIFT - (STOPPED and math.max(NOW - math.max(instant, STOPPED), 0) or 0)
end

-- How much later than its record says a task is due, for the pauses since it arrived.
local function grace_of(id)
  if DRIFT == 0 then return 0 end
  return DRIFT - (tonumber(redis.call('HGET', run_key(id), 'shift')) or 0)
end

-- A ladder is { { percent, plus_ms, name, { action, ... } }, ... } in `config.ladder`.
local function read_ladder(json)
  return json and json ~= '' and cjson.decode(json) or {}
end

-- `arrived` is of the queue clock, here and below.
local function share_at(percent, arrived, sla) return arrived + math.floor(sla * percent / 100) end

local function rung_at(rung, arrived, sla) return share_at(rung[1], arrived, sla) + rung[2] end

-- The next rung after an instant, which stands for the last that was spoken: not its number, as the
-- ladder may have changed since. Nothing after the last.
local function next_of_ladder(ladder, arrived, sla, after)
  local earliest
  for _, rung in ipairs(ladder) do
    local at = rung_at(rung, arrived, sla)
    if (not after or at > after) and (not earliest or at < earliest) then earliest = at end
  end
  return earliest
end

-- When the clock next has something to do for a task: a rung, or to note that its promise is at
-- risk, or broken.
local function next_rung_at(ladder, arrived, sla, after)
  local earliest = next_of_ladder(ladder, arrived, sla, after)
  for _, at in ipairs({ share_at(AT_RISK_PERCENT, arrived, sla), arrived + sla }) do
    if (not after or at > after) and (not earliest or at < earliest) then earliest = at end
  end
  return earliest
end

-- `:at_risk` only shows how things stand, so a foreign key in its place stops nothing.
local function take_off_the_clock(ids)
  call_in_slices('ZREM', SLA, ids)
  if #ids > 0 then redis.pcall('ZREM', AT_RISK, unpack(ids)) end
end

-- Puts one task under the clock. `spoken` is the instant of the last rung that was spoken.
local function put_on_the_clock(id, ladder, arrived, sla, spoken)
  local rung = next_rung_at(ladder, arrived, sla, spoken)
  if rung then redis.call('ZADD', SLA, rung, id) end
  if share_at(AT_RISK_PERCENT, arrived, sla) <= NOW - DRIFT then
    redis.call('ZADD', AT_RISK, arrived + sla, id)
  end
end
