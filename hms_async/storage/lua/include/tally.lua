-- Counters: collected in the script, written once per field at its end. Needs queue.
-- `queue:<q>:counts` grows for ever, `queue:<q>:stats:<minute>` lives for 48 hours.
--
-- Attempts: `claimed` = tasks in progress + `done` + `released` + `ended.error` + `ended.timeout`
-- + `ended.lease_lost` + `ended.cancelled`. Those of the first, second and third of these four are
-- in `error.<type>` as well.

local tallied = {}

local function count(field, n) tallied[field] = (tallied[field] or 0) + (n or 1) end

-- What kinds of faults there are is up to those who raise them, so that only the first fifty of a
-- queue have a field each (I8); `folded` counts what went into `error._other` for want of one.
local MOST_ERROR_TYPES, LONGEST_ERROR_TYPE = 50, 100
local errors, has_errors = {}, false

local function count_error(kind)
  if not kind or #kind > LONGEST_ERROR_TYPE then kind = '_other' end
  errors[kind] = (errors[kind] or 0) + 1
  has_errors = true
end

local function tally_errors()
  local kinds, fields = {}, { 'error_types' }
  for kind in pairs(errors) do
    kinds[#kinds + 1] = kind
    fields[#fields + 1] = 'error.' .. kind
  end
  local counted = redis.call('HMGET', COUNTS, unpack(fields))
  local types = tonumber(counted[1]) or 0
  for i, kind in ipairs(kinds) do
    local known = counted[i + 1] or kind == '_other'
    if known or types < MOST_ERROR_TYPES then
      if not known then
        types = types + 1
        count('error_types')
      end
      count('error.' .. kind, errors[kind])
    else
      count('error._other', errors[kind])
      count('folded', errors[kind])
    end
  end
end

-- One read and one write for all fields of a hash: a `HINCRBY` for each costs twice as much.
local function write_tally()
  if has_errors then tally_errors() end
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
