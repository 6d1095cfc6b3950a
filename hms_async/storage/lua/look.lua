-- A queue's settings and its incidents; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms
-- Reply  'no_queue' | {the settings as field, value, ..., then likewise the last incident of each
--        kind, in the order sla, forecast, delivery; each empty if there is none}
-- Keeps  I8: a few hashes of a few fields.
-- include queue

-- A key of another type, which a foreign hand has put there, shows nothing.
local function all_of(key)
  local found = redis.pcall('HGETALL', key)
  return found.err and {} or found
end

if redis.call('HEXISTS', CONFIG, 'version') == 0 then return 'no_queue' end
local reply = { all_of(CONFIG) }
for _, kind in ipairs({ 'sla', 'forecast', 'delivery' }) do
  reply[#reply + 1] = all_of(NORMAL .. ':incident:' .. kind)
end
return reply
