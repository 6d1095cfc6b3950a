-- An act on many tasks: who may work on it, and what is kept of it. Needs nothing.
--
-- KEYS   1 operation:<id>   2 operations   3 operations:open   4 audit
-- ARGV   1 now_ms, or '' for the server's clock (I9)   2 id
--
-- `operations` id -> when it was begun; `operations:open` id -> until when somebody works on it, 0
-- for nobody. A lease has a number that grows with each, so that one that was lost writes no more.

local OPERATION, OPERATIONS, OPEN_OPERATIONS, AUDIT = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ID = ARGV[2]
local KEPT_MS = 2592000000 -- 30 days

local NOW = tonumber(ARGV[1])
if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function check_types()
  redis.call('HLEN', OPERATION)
  redis.call('ZCARD', OPERATIONS)
  redis.call('ZCARD', OPEN_OPERATIONS)
end

-- Written first: at `maxmemory` a script is refused only at its first write (R9), and what empties a
-- queue is wanted then.
local function begin_draining() redis.call('ZREM', OPEN_OPERATIONS, '') end
