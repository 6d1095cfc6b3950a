-- Counters and histograms: collected in the script, written once per field at its end.
-- `queue:<q>:counts` grows for ever, `queue:<q>:stats:<minute>` lives for 48 hours.

local WAIT_MS = { 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5, 1.8e6,
  3.6e6, 7.2e6, 1.44e7, 2.88e7, 8.64e7 }
local RUN_MS = { 5, 10, 25, 50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 3e4, 6e4, 1.2e5, 3e5, 6e5,
  1.8e6, 3.6e6 }
local SLA_RATIO = { .1, .25, .5, .75, .8, .9, .95, 1, 1.1, 1.25, 1.5, 2, 5 }

local function histogram(name, bounds) return { name = name, bounds = bounds, seen = {} } end

local WAITED = histogram('wait', WAIT_MS)
local RAN = histogram('run', RUN_MS)
local TOTAL = histogram('total', WAIT_MS)
local USED = histogram('used', SLA_RATIO)
local tallied = {}

local function count(field, n) tallied[field] = (tallied[field] or 0) + (n or 1) end

-- Buckets are numbered from 1; a value beyond the last bound falls into the next number.
local function observe(into, value)
  local bounds, bucket = into.bounds, 1
  while bounds[bucket] and value > bounds[bucket] do bucket = bucket + 1 end
  into.seen[bucket] = (into.seen[bucket] or 0) + 1
end

-- The time since an instant, in ms. One that cannot be read counts for nothing: a foreign hand
-- wrote it.
local function since(instant)
  return math.max(math.floor(NOW - (tonumber(instant) or NOW)), 0)
end

local function observe_since(into, instant)
  if not tonumber(instant) then return end
  local value = since(instant)
  observe(into, value)
  into.sum_ms = (into.sum_ms or 0) + value
end

local function write_tally()
  for _, one in ipairs({ WAITED, RAN, TOTAL, USED }) do
    for bucket, n in pairs(one.seen) do count(one.name .. ':' .. bucket, n) end
    if one.sum_ms then count(one.name .. ':sum_ms', one.sum_ms) end
  end
  if next(tallied) == nil then return end
  for field, n in pairs(tallied) do
    redis.call('HINCRBY', COUNTS, field, n)
    redis.call('HINCRBY', STATS, field, n)
  end
  if minute_is_new then redis.call('PEXPIRE', STATS, 172800000) end
end

-- Entries left behind in a lane. A dropped one that was never counted (pushed by a
-- foreign hand) must not make the number negative (R5).
local function count_stale(n)
  if n > 0 then
    redis.call('HINCRBY', COUNTS, 'stale', n)
  elseif n < 0 then
    local drop = math.min(count_left_behind(), -n)
    -- A negated zero would be sent as "-0", which is no integer to the server.
    if drop > 0 then redis.call('HINCRBY', COUNTS, 'stale', -drop) end
  end
end
