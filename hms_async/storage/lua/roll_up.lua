-- Roll up the counters of minutes that are over into ten minutes, and these into hours.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 how many ten minutes at most
-- Reply  'no_queue' | 1 while more are due, else 0
-- Keeps  I8, and each period is rolled up from minutes that nobody writes any more: so it comes to
--        the same whoever does it, and however often.
-- include queue places

local TEN_MS, MINUTES, TENS, HOURS_A_DAY = 600000, 10, 6, 24
local KEPT = 288 -- ten minutes of which the minutes are kept: two days
local ROLLED = NORMAL .. ':rolled'
local TEN_MINUTES, HOURS = NORMAL .. ':stats10m:', NORMAL .. ':stats1h:'

if redis.call('HEXISTS', CONFIG, 'version') == 0 then return 'no_queue' end
local open = math.floor(NOW / TEN_MS) -- the ten minutes that are not over
local following = tonumber(redis.call('GET', ROLLED) or '')
if following and following >= open then return 0 end
begin_draining()

-- What a foreign hand has made something else of counts for nothing, and stops nothing.
local function add(sum, field, value)
  local n = tonumber(value)
  if n and math.abs(n) < 1e14 then sum[field] = (sum[field] or 0) + n end
end

-- A day of periods shares a key: one hash with a text for each costs half of a hash for each.
local function keep(front, a_day, number, sum, days)
  if next(sum) == nil then return end
  local key = front .. math.floor(number / a_day)
  redis.pcall('HSET', key, number % a_day, cjson.encode(sum))
  redis.pcall('PEXPIRE', key, days * 86400000)
end

-- Whether there is any minute to be read: of a new queue there is none, two days back.
local function some_counted(first, last)
  local keys = {}
  for minute = first * MINUTES, last * MINUTES - 1 do
    keys[#keys + 1] = NORMAL .. ':stats:' .. minute
  end
  return redis.call('EXISTS', unpack(keys)) > 0
end

local function roll_minutes(ten)
  local sum = {}
  for minute = ten * MINUTES, ten * MINUTES + MINUTES - 1 do
    local flat = redis.pcall('HGETALL', NORMAL .. ':stats:' .. minute)
    for i = 1, #flat, 2 do add(sum, flat[i], flat[i + 1]) end
  end
  keep(TEN_MINUTES, HOURS_A_DAY * TENS, ten, sum, 15)
end

local function roll_hour(hour)
  local sum, fields = {}, {}
  for i = 1, TENS do fields[i] = hour % HOURS_A_DAY * TENS + i - 1 end
  local texts = redis.pcall('HMGET', TEN_MINUTES .. math.floor(hour / HOURS_A_DAY), unpack(fields))
  for i = 1, #texts do
    local readable, counted = pcall(cjson.decode, texts[i] or '{}')
    for field, value in pairs(readable and type(counted) == 'table' and counted or {}) do
      add(sum, field, value)
    end
  end
  keep(HOURS, HOURS_A_DAY, hour, sum, 401)
end

-- Of what nobody rolled up in time the minutes are gone: its hour is closed with what there is.
local first = math.max(following or 0, open - KEPT)
if following and following < first then roll_hour(math.floor(following / TENS)) end
local last = math.min(first + tonumber(ARGV[3]), open)
local counted = some_counted(first, last)
for ten = first, last - 1 do
  if counted then roll_minutes(ten) end
  if ten % TENS == TENS - 1 then roll_hour(math.floor(ten / TENS)) end
end
redis.call('SET', ROLLED, last)
return last < open and 1 or 0
