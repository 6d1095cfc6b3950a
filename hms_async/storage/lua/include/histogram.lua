-- How long things took, in buckets, for the counters of the call. Needs tally.

local WAIT_MS = { 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5, 1.8e6,
  3.6e6, 7.2e6, 1.44e7, 2.88e7, 8.64e7 }
local RUN_MS = { 5, 10, 25, 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5,
  1.8e6, 3.6e6 }
local SLA_RATIO = { .1, .25, .5, .75, .8, .9, .95, 1, 1.1, 1.25, 1.5, 2, 5 }

local function histogram(bounds) return { bounds = bounds, seen = {}, bucket = 1, n = 0, sum = 0 } end

local WAITED = histogram(WAIT_MS)
local RAN = histogram(RUN_MS)
local TOTAL = histogram(WAIT_MS)
local USED = histogram(SLA_RATIO)

-- Writes down how often the last value was seen. The next one is looked for from its bucket on, as
-- the tasks of one call are much alike. Buckets are numbered from 1; a value beyond the last bound
-- falls into the next number.
local function change_value(into, value)
  local bounds, bucket = into.bounds, into.bucket
  if into.n > 0 then
    into.seen[bucket] = (into.seen[bucket] or 0) + into.n
    into.sum = into.sum + into.n * into.value
  end
  while value and bucket > 1 and value <= bounds[bucket - 1] do bucket = bucket - 1 end
  while value and bounds[bucket] and value > bounds[bucket] do bucket = bucket + 1 end
  into.value, into.bucket, into.n = value, bucket, 0
end

local function observe(into, value)
  if value ~= into.value then change_value(into, value) end
  into.n = into.n + 1
end

-- The time since an instant, in ms, if there is one: what cannot be read counts for nothing, as a
-- foreign hand wrote it. Tasks that came or were claimed together have the same instant, as the text
-- of their records: in a busy queue these are most, and cost next to nothing.
local function observe_since(into, instant)
  if not instant then return 0 end
  if instant ~= into.instant then
    local value = tonumber(instant) and NOW - instant
    if value and not (value > 0 and value < LONGEST_MS) then value = 0 end
    into.instant = instant
    change_value(into, value)
  end
  if not into.value then return 0 end
  into.n = into.n + 1
  return into.value
end

-- Sums are whole ms; that of the shares of promises is in thousandths. Nobody asks for them by the
-- minute, nor for those shares.
local function count_observed()
  for name, one in pairs({ wait = WAITED, run = RAN, total = TOTAL, used = USED }) do
    change_value(one)
    local count_it = one == USED and count_in_total or count
    for bucket, n in pairs(one.seen) do count_it(name .. ':' .. bucket, n) end
    local unit, sum = ':sum_ms', one.sum
    if one == USED then unit, sum = ':sum_milli', 1000 * sum end
    if sum >= 1 and sum < math.huge then count_in_total(name .. unit, math.floor(sum)) end
  end
end
