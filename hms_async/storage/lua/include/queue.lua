-- The keys of one queue and its clock. Every script starts with this.
--
-- KEYS   1 queue:<q>, the normal lane; all other keys are derived from it, and share its hash tag
-- ARGV   1 prefix of task keys   2 now_ms, or '' for the server's clock (I9)

local NORMAL = KEYS[1]
local QUEUE = string.match(NORMAL, '([^:{}]+)}?$')
local EXPRESS = NORMAL .. ':express'
local SUSPECTS = NORMAL .. ':suspects'
local BELL = NORMAL .. ':bell'
local SCHEDULED = NORMAL .. ':scheduled'
local RETRY = NORMAL .. ':retry'
local INFLIGHT = NORMAL .. ':inflight'
local SLA = NORMAL .. ':sla'
local ENDED = { NORMAL .. ':done', NORMAL .. ':failed', NORMAL .. ':cancelled',
  NORMAL .. ':expired' }
local CONFIG = NORMAL .. ':config'
local COUNTS = NORMAL .. ':counts'
local EVENTS = NORMAL .. ':events'
local SWEPT = NORMAL .. ':swept'

-- Entries that a script left behind in the lanes (R5).
local function count_left_behind()
  return tonumber(redis.call('HGET', COUNTS, 'stale') or 0)
end

-- Entries of all lanes, those left behind included.
local function count_entries()
  return redis.call('LLEN', NORMAL) + redis.call('LLEN', EXPRESS) + redis.call('LLEN', SUSPECTS)
end

-- What an id is made of; anything else in a lane is a raw entry.
local function is_id(text)
  return #text <= 128 and string.find(text, '^%w[%w._-]*$') ~= nil
end

local function body_key(id) return ARGV[1] .. id end
local function run_key(id) return ARGV[1] .. id .. ':run' end
local function attempts_key(id) return ARGV[1] .. id .. ':attempts' end

local NOW = tonumber(ARGV[2])
if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end
local STATS = NORMAL .. ':stats:' .. math.floor(NOW / 60000)

-- The lease of a call: what the caller asks for, within 3 s and a day, else the queue's.
local function lease_of(asked, configured)
  local wanted = tonumber(asked)
  if not wanted or wanted ~= wanted then return tonumber(configured) end
  return math.floor(math.min(math.max(wanted, 3000), 86400000))
end

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

-- These read every key that a script may write, so that one of a wrong type raises before
-- anything has been written: effects before an error would stay (R8).
local function check_types_to_enqueue()
  redis.call('LLEN', NORMAL)
  redis.call('LLEN', EXPRESS)
  redis.call('LLEN', BELL)
  redis.call('ZCARD', SCHEDULED)
  redis.call('ZCARD', SLA)
  redis.call('HLEN', COUNTS)
  minute_is_new = redis.call('HLEN', STATS) == 0
end

local function check_types()
  check_types_to_enqueue()
  redis.call('LLEN', SUSPECTS)
  redis.call('ZCARD', RETRY)
  redis.call('ZCARD', INFLIGHT)
  for _, set in ipairs(ENDED) do redis.call('ZCARD', set) end
  redis.call('XLEN', EVENTS)
end

-- At `maxmemory` a script is refused only if its first write needs memory. Scripts that
-- drain work begin with this one, which never does (R9).
local function begin_draining() redis.call('DEL', NORMAL .. ':none') end

-- The bell carries at most one token; whoever leaves work behind rings again (R12).
local function ring()
  if redis.call('LLEN', BELL) == 0 then redis.call('RPUSH', BELL, '1') end
end

-- About the last 200,000 entries stay; `prune` trims by age (R20).
local function announce(...) redis.call('XADD', EVENTS, 'MAXLEN', '~', 200000, '*', ...) end

-- What happened to tasks, up to ten an entry: one for each would cost more than all the rest of
-- their end. `write_told` tells what is left of it when the call ends.
local TOLD_TOGETHER = 10
local told = {}

local function announce_tasks(kind, news)
  local several = #news.ids > 1
  local entry = { 'type', kind }
  local function add(name, value) entry[#entry + 1], entry[#entry + 2] = name, value end
  if several then add('ids', table.concat(news.ids, ' ')) else add('id', news.ids[1]) end
  if news.in_cases and several then
    add('corrs', cjson.encode(news.corrs))
  elseif news.in_cases then
    add('corr', news.corrs[1])
  end
  if news.say_more and several then
    add('abouts', '[' .. table.concat(news.abouts, ',') .. ']')
  elseif news.say_more then
    add('about', news.abouts[1])
  end
  announce(unpack(entry))
end

-- `about` is JSON text, or nothing: what the event says beside who it is about. It is put together
-- here, and decoded by whoever reads it.
local function tell(kind, id, corr, about)
  local news = told[kind]
  if not news then
    news = { ids = {}, corrs = {}, abouts = {} }
    told[kind] = news
  end
  local n = #news.ids + 1
  news.ids[n], news.corrs[n], news.abouts[n] = id, corr or '', about or 'null'
  if corr then news.in_cases = true end
  if about then news.say_more = true end
  if n == TOLD_TOGETHER then
    announce_tasks(kind, news)
    told[kind] = nil
  end
end

local function write_told()
  for kind, news in pairs(told) do announce_tasks(kind, news) end
end
