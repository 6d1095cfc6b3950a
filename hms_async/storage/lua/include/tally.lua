-- Counters: collected in the script, written once per field at its end. Needs queue.
-- `queue:<q>:counts` grows for ever, `queue:<q>:stats:<minute>` lives for 48 hours and has less: a
-- field costs as much as all that leads to it.
--
-- Attempts: `claimed` = tasks in progress + `done` + `released` + `ended.error` + `ended.timeout`
-- + `ended.lease_lost` + `ended.cancelled`. Those of the first, second and third of these four are
-- in `error.<type>` as well.

local tallied, totals_only = {}, {}

local function count(field, n) tallied[field] = (tallied[field] or 0) + (n or 1) end
local function count_in_total(field, n) totals_only[field] = n end

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
local function add_to(key, n, fields, amounts)
  local counted, args = redis.call('HMGET', key, unpack(fields, 1, n)), {}
  for i = 1, n do
    args[2 * i - 1], args[2 * i] = fields[i], (tonumber(counted[i]) or 0) + amounts[i]
  end
  redis.call('HSET', key, unpack(args))
end

local function write_tally()
  if has_errors then tally_errors() end
  local n, fields, amounts = 0, {}, {}
  for field, amount in pairs(tallied) do
    n = n + 1
    fields[n], amounts[n] = field, amount
  end
  if n == 0 then return end
  add_to(STATS, n, fields, amounts)
  for field, amount in pairs(totals_only) do
    n = n + 1
    fields[n], amounts[n] = field, amount
  end
  add_to(COUNTS, n, fields, amounts)
  if minute_is_new then keep_minute() end
end
