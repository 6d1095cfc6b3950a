-- Where tasks are after they were accepted, and what is told of them. Needs queue.

local NOW_TEXT = digits(NOW)

local QUEUE = string.match(NORMAL, '([^:{}]+)}?$')
local SUSPECTS = NORMAL .. ':suspects'
local RETRY = NORMAL .. ':retry'
local INFLIGHT = NORMAL .. ':inflight'
local ENDED = { NORMAL .. ':done', NORMAL .. ':failed', NORMAL .. ':cancelled',
  NORMAL .. ':expired' }
local EVENTS = NORMAL .. ':events'
local AUDIT = NORMAL .. ':audit'

local function attempts_key(id) return ARGV[1] .. id .. ':attempts' end

-- The lease of a call: what the caller asks for, within 3 s and a day, else the queue's.
local function lease_of(asked, configured)
  local wanted = tonumber(asked)
  if not wanted or wanted ~= wanted then
    return tonumber(configured) or error('the lease of the queue is no number')
  end
  return math.floor(math.min(math.max(wanted, 3000), 86400000))
end

-- Entries that a script left behind in the lanes (R5).
local function count_left_behind()
  return tonumber(redis.call('HGET', COUNTS, 'stale') or 0)
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

-- How many entries each lane has, those left behind included.
local function count_lanes()
  return { normal = redis.call('LLEN', NORMAL), express = redis.call('LLEN', EXPRESS),
    suspects = redis.call('LLEN', SUSPECTS) }
end
local function count_entries()
  local lanes = count_lanes()
  return lanes.normal + lanes.express + lanes.suspects
end

-- When the next scheduled or retrying task is due; false when there is none.
local function next_due()
  local first = redis.call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2]
  local second = redis.call('ZRANGE', RETRY, 0, 0, 'WITHSCORES')[2]
  if first and second then
    return tonumber(first) < tonumber(second) and first or second
  end
  return first or second or false
end

-- Reads every key that a script may write (R8). Returns what that tells besides: how many entries
-- each lane has, and when the next scheduled or retrying task is due.
local function check_types()
  check_bell()
  check_counters()
  redis.call('ZCARD', INFLIGHT)
  redis.call('ZCARD', SLA)
  for _, set in ipairs(ENDED) do redis.call('ZCARD', set) end
  redis.call('XLEN', EVENTS)
  return count_lanes(), next_due()
end

-- At `maxmemory` a script is refused only if its first write needs memory. Scripts that
-- drain work begin with this one, which never does (R9).
local function begin_draining() redis.call('DEL', NORMAL .. ':none') end

-- About the last 200,000 entries stay; `prune` trims by age (R20).
local function announce(...) redis.call('XADD', EVENTS, 'MAXLEN', '~', 200000, '*', ...) end
