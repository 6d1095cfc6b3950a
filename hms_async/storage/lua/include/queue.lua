-- The keys of one queue and its clock. Every script starts with this.
--
-- KEYS   1 queue:<q>, the normal lane; all other keys are derived from it, and share its hash tag
-- ARGV   1 prefix of task keys   2 now_ms, or '' for the server's clock (I9)
--
-- A script runs from its top at each call, and what it defines there costs time even if unused: so
-- only what every script needs is here, the rest is included where it is used.

local NORMAL = KEYS[1]
local EXPRESS = NORMAL .. ':express'
local BELL = NORMAL .. ':bell'
local SCHEDULED = NORMAL .. ':scheduled'
local SLA = NORMAL .. ':sla'
local CONFIG = NORMAL .. ':config'
local COUNTS = NORMAL .. ':counts'

-- What an id is made of; anything else in a lane is a raw entry.
local LONGEST_ID = 128
local function is_id(text)
  return #text <= LONGEST_ID and string.find(text, '^%w[%w._-]*$') ~= nil
end

local function body_key(id) return ARGV[1] .. id end
local function run_key(id) return ARGV[1] .. id .. ':run' end

local NOW = tonumber(ARGV[2])
if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end
local STATS = NORMAL .. ':stats:' .. math.floor(NOW / 60000)

-- Numbers that are written for each task become text once, and not in each command that has them,
-- which costs more.
local function digits(number) return string.format('%.0f', number) end

-- A century: no delay or promise is longer.
local LONGEST_MS = 3162240000000

-- `unpack` raises beyond 8,000 values, and an empty variadic call raises too.
local function call_in_slices(command, key, values)
  for first = 1, #values, 1000 do
    redis.call(command, key, unpack(values, first, math.min(first + 999, #values)))
  end
end

-- Whether nothing was counted yet in this minute: its counters are to expire then.
local minute_is_new = false

-- Reads the counters, so that a key of a wrong type raises before anything has been written:
-- effects before an error would stay (R8).
local function check_counters()
  redis.call('HLEN', COUNTS)
  minute_is_new = redis.call('HLEN', STATS) == 0
end
local function keep_minute() redis.pcall('PEXPIRE', STATS, 172800000) end

-- The bell carries at most one token; whoever leaves work behind rings again (R12). It is looked at
-- once a call: with the other types, before anything is written (R8).
local silent
local function check_bell() silent = redis.call('LLEN', BELL) == 0 end
local function ring()
  if silent == nil then error('the bell was not looked at') end
  if silent then redis.call('RPUSH', BELL, '1') end
  silent = false
end
