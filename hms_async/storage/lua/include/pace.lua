-- How fast a queue's tasks end while others wait, from which a forecast is made. Needs queue.
--
-- `:pace` holds what ended (`served`) in how many ms (`over`), both fading: what was two minutes
-- ago counts for a third, where tasks are long what was five of them ago. Time in which nothing
-- waited counts for neither: it says how fast tasks come, not how fast they could go. `ended`, `at`
-- and `waits` are those of the last look.

local PACE = NORMAL .. ':pace'
local FADES_MS, FADES_AT_MOST_MS = 120000, 21600000

local function read_pace()
  local old = redis.call('HMGET', PACE, 'served', 'over', 'at', 'ended', 'waits')
  local counts = redis.call('HMGET', COUNTS, 'done', 'failed')
  local pace = { served = tonumber(old[1]) or 0, over = tonumber(old[2]) or 0,
    passed = math.max(NOW - (tonumber(old[3]) or NOW), 0), waited = old[5] == '1',
    ended = (tonumber(counts[1]) or 0) + (tonumber(counts[2]) or 0) }
  local between = pace.over / math.max(pace.served, 0.001)
  local fades = math.exp(-pace.passed / math.min(math.max(FADES_MS, 5 * between), FADES_AT_MOST_MS))
  pace.served, pace.over = pace.served * fades, pace.over * fades
  pace.new = math.max(pace.ended - (tonumber(old[4]) or pace.ended), 0)
  return pace
end

local function write_pace(pace, waits)
  if not waits and not pace.waited then return end
  if waits and pace.waited then
    pace.served, pace.over = pace.served + pace.new, pace.over + pace.passed
  end
  redis.call('HSET', PACE, 'served', string.format('%.3f', pace.served), 'over',
    string.format('%.0f', pace.over), 'at', NOW, 'ended', pace.ended, 'waits', waits and '1' or '0')
end
