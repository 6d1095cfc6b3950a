-- What was counted in the minutes of a span that are not rolled up, or are asked for as minutes;
-- reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 how far back in ms   4 the length of the reader's steps in ms:
--        the first of them is whole   5 how long a period may be in ms, at the most
-- Reply  'no_queue' | {now_ms, from when on nothing is rolled up in ms, then two for each minute in
--        which something was counted: its number, its counters as field, value, ...}
-- Keeps  I8: two days of minutes at the most, however long ago the span begins.
-- include queue

if redis.call('HEXISTS', CONFIG, 'version') == 0 then return 'no_queue' end
local TEN_MS, MINUTES_KEPT = 600000, 2880
local span, step, longest = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local rolled = redis.pcall('GET', NORMAL .. ':rolled')
rolled = math.min((tonumber(type(rolled) == 'string' and rolled) or 0) * TEN_MS, NOW)
local from = math.floor((NOW - span) / step) * step
if longest >= TEN_MS then from = math.max(from, rolled) end
local last = math.floor(NOW / 60000)
local reply = { NOW, rolled }

-- Of most minutes there is nothing in a quiet queue: an hour is asked for at once.
local function some_counted(minute, until_minute)
  local keys = {}
  for one = minute, until_minute do keys[#keys + 1] = NORMAL .. ':stats:' .. one end
  return redis.call('EXISTS', unpack(keys)) > 0
end

local function read(minute)
  local counted = redis.pcall('HGETALL', NORMAL .. ':stats:' .. minute)
  if #counted > 0 then
    reply[#reply + 1], reply[#reply + 2] = minute, counted
  end
end

for hour = math.max(math.floor(from / 60000), last - MINUTES_KEPT), last, 60 do
  local until_minute = math.min(hour + 59, last)
  if some_counted(hour, until_minute) then
    for minute = hour, until_minute do read(minute) end
  end
end
return reply
