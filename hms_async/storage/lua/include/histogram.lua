-- How long things took, in buckets, for the counters of the call. Needs tally.

local WAIT_MS = { 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5, 1.8e6,
  3.6e6, 7.2e6, 1.44e7, 2.88e7, 8.64e7 }
local RUN_MS = { 5, 10, 25, 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5,
  1.8e6, 3.6e6 }
local SLA_RATIO = { .1, .25, .5, .75, .8, .9, .95, 1, 1.1, 1.25, 1.5, 2, 5 }

local function histogram(bounds) return { bounds = bounds, seen = {}, bucket = 1, sum_ms = 0 } end

local WAITED = histogram(WAIT_MS)
local RAN = histogram(RUN_MS)
local TOTAL = histogram(WAIT_MS)
local USED = histogram(SLA_RATIO)

-- Buckets are numbered from 1; a value beyond the last bound falls into the next number. The
-- search begins where the last one ended, as the tasks of one call are much alike.
local function observe(into, value)
  local bounds, bucket = into.bounds, into.bucket
  while bucket > 1 and value <= bounds[bucket - 1] do bucket = bucket - 1 end
  while bounds[bucket] and value > bounds[bucket] do bucket = bucket + 1 end
  into.bucket = bucket
  into.seen[bucket] = (into.seen[bucket] or 0) + 1
end

-- The time since an instant, in ms, if there is one: what cannot be read counts for nothing, as a
-- foreign hand wrote it.
local function observe_since(into, instant)
  if not instant then return 0 end
  local value = NOW - instant
  if value < 0 then value = 0 end
  observe(into, value)
  into.sum_ms = into.sum_ms + value
  return value
end

local function count_observed()
  for name, one in pairs({ wait = WAITED, run = RAN, total = TOTAL, used = USED }) do
    for bucket, n in pairs(one.seen) do count(name .. ':' .. bucket, n) end
    if one.sum_ms >= 1 then count(name .. ':sum_ms', math.floor(one.sum_ms)) end
  end
end
