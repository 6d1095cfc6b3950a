-- Hold the indexes of a queue against the records, a bounded chunk a call, and mend them.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 rank to go on from   4 limit of each index
-- Reply  'no_queue' | {mended, next rank or 0, stale}
--        stale: entries left behind in the lanes, recounted when they are few, else -1
-- Keeps  R4: the record is the truth, an entry that it does not confirm goes; R5.
-- include queue places clock open ladder

local from, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local config = redis.call('HMGET', CONFIG, 'version', 'ladder', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[3], config[4])
check_types()
redis.call('ZCARD', AT_RISK)
local ladder = read_ladder(config[2])
begin_draining()

local mended, more = 0, false

local function hold(set, confirms)
  local ids = redis.call('ZRANGE', set, from, from + limit - 1)
  local wrong = {}
  for _, id in ipairs(ids) do
    local state = redis.pcall('HGET', run_key(id), 'state')
    -- Without a record only the clock lets go: the sweep fails such a task when it is due.
    local unknown = type(state) ~= 'string'
    if unknown and (set == SLA or set == AT_RISK) or not unknown and not confirms[state] then
      wrong[#wrong + 1] = id
    end
  end
  call_in_slices('ZREM', set, wrong)
  mended = mended + #wrong
  if #ids >= limit then more = true end
end

hold(INFLIGHT, { in_progress = true })
hold(SCHEDULED, { scheduled = true })
hold(RETRY, { retrying = true })
hold(SLA, OPEN)
hold(AT_RISK, OPEN)

-- The ladder may have changed since a task was put under the clock.
local function wind_up(set)
  for _, id in ipairs(redis.call('ZRANGE', set, from, from + limit - 1)) do
    local run = redis.pcall('HMGET', run_key(id), 'arrived', 'sla', 'rung', 'shift')
    local arrived, sla, spoken = tonumber(run[1]), tonumber(run[2]), tonumber(run[3])
    if not run.err and arrived and sla then
      local rung = next_of_ladder(ladder, arrived - (tonumber(run[4]) or 0), sla, spoken)
      local known = rung and tonumber(redis.call('ZSCORE', SLA, id) or nil)
      if rung and (not known or rung < known) then
        redis.call('ZADD', SLA, rung, id)
        mended = mended + 1
      end
    end
  end
end
wind_up(SLA)
wind_up(AT_RISK)

local stale = -1
if count_entries() <= 1000 then
  stale = 0
  local unknown, seen = 0, {}
  for lane, key in pairs({ normal = NORMAL, express = EXPRESS, suspects = SUSPECTS }) do
    for _, id in ipairs(redis.call('LRANGE', key, 0, -1)) do
      local run = redis.pcall('HMGET', run_key(id), 'state', 'lane')
      if run.err or not run[1] then
        -- A stranger's, or left behind by a task that has been forgotten.
        if is_id(id) then unknown = unknown + 1 end
      else
        local confirmed = run[1] == 'waiting' and (run[2] or 'normal') == lane
        if seen[id] or not confirmed then stale = stale + 1 end
        if confirmed then seen[id] = true end
      end
    end
  end
  local counted = count_left_behind()
  stale = math.min(math.max(counted, stale), stale + unknown)
  if stale ~= counted then
    redis.call('HSET', COUNTS, 'stale', stale)
    mended = mended + 1
  end
end
return { mended, more and from + limit or 0, stale }
