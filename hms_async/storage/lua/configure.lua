-- Create a queue, or change its settings.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   then pairs: field, value
-- Reply  {'created' | 'changed' | 'same', version}
-- Keeps  a version that grows with each change, and with nothing else.
-- include queue places

local old = redis.call('HGETALL', CONFIG)
local settings = {}
for i = 1, #old, 2 do settings[old[i]] = old[i + 1] end
check_types()
local version = tonumber(settings.version or 0)
local verdict = version == 0 and 'created' or 'same'
for i = 3, #ARGV, 2 do
  if settings[ARGV[i]] ~= ARGV[i + 1] and version > 0 then verdict = 'changed' end
end
if verdict == 'same' then return { verdict, version } end
redis.call('HSET', CONFIG, 'version', version + 1, unpack(ARGV, 3))
return { verdict, version + 1 }
