-- The clock of a queue (R18). Needs queue.
--
-- It is the server's, less all the time that it stood still in pauses that stop it. The scores of
-- `:sla` and `:at_risk` are its milliseconds, so that a pause re-scores nothing. `shift` in a record
-- says how far the clock was behind when the task arrived.

local AT_RISK = NORMAL .. ':at_risk'
local STOPPED = false -- since when the clock stands still
local DRIFT = 0       -- how far it is behind

-- `stood` and `stopped` are the settings `clock_stood` and `clock_stopped`.
local function set_clock(stood, stopped)
  STOPPED = tonumber(stopped)
  if STOPPED and not (STOPPED > 0 and STOPPED < math.huge) then STOPPED = false end
  -- Zero comes first: `math.max` keeps a first one that is no number.
  local still = STOPPED and math.max(0, NOW - STOPPED) or 0
  DRIFT = math.min(math.max(0, (tonumber(stood) or 0) + still), LONGEST_MS)
end

-- How much later a task is due than its promise says, for the pauses since it arrived.
local function grace_of(id)
  if DRIFT == 0 then return 0 end
  return DRIFT - (tonumber(redis.call('HGET', run_key(id), 'shift')) or 0)
end
