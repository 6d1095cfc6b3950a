-- Counters: collected in the script, written once per field at its end. Needs queue.
-- `queue:<q>:counts` grows for ever, `queue:<q>:stats:<minute>` lives for 48 hours.

local tallied = {}

local function count(field, n) tallied[field] = (tallied[field] or 0) + (n or 1) end

-- One read and one write for all fields of a hash: a `HINCRBY` for each costs twice as much.
local function write_tally()
  local fields = {}
  for field in pairs(tallied) do fields[#fields + 1] = field end
  if #fields == 0 then return end
  for _, key in ipairs({ COUNTS, STATS }) do
    local counted, args = redis.call('HMGET', key, unpack(fields)), {}
    for i, field in ipairs(fields) do
      args[2 * i - 1], args[2 * i] = field, (tonumber(counted[i]) or 0) + tallied[field]
    end
    redis.call('HSET', key, unpack(args))
  end
  if minute_is_new then keep_minute() end
end
