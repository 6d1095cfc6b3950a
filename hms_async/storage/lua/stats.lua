-- One look at a queue; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms
-- Reply  'no_queue' | {now_ms, paused, sla_ms or '', waiting, in_progress, scheduled, retrying,
--        done, failed, cancelled, expired, oldest_arrived_ms or '', next_due_ms or '',
--        next_rung_ms or '', totals as field, value, ..., at_risk, breached, clock_stopped_ms or '',
--        actions that wait to be carried out, those given up}
-- Keeps  I8: constant work, however long the queue.
-- include queue places clock tally outbox

local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'sla_ms', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[4], config[5])

-- The first entries of a lane may be stale; past a few of them the answer is "unknown".
local function oldest_of(key, lane)
  for _, id in ipairs(redis.call('LRANGE', key, 0, 9)) do
    local run = redis.pcall('HMGET', run_key(id), 'state', 'lane', 'arrived')
    if not run.err and run[1] == 'waiting' and (run[2] or 'normal') == lane then
      return tonumber(run[3])
    end
  end
end

local oldest
for lane, key in pairs({ suspects = SUSPECTS, express = EXPRESS, normal = NORMAL }) do
  local arrived = oldest_of(key, lane)
  if arrived then oldest = math.min(oldest or arrived, arrived) end
end
-- While the clock stands still nothing comes due.
local function next_rung()
  local at = not STOPPED and redis.call('ZRANGE', SLA, 0, 0, 'WITHSCORES')[2]
  return at and at + DRIFT or ''
end

local breached = redis.call('ZCOUNT', AT_RISK, '-inf', '(' .. NOW - DRIFT)
local waiting = count_entries() - count_left_behind()
return { NOW, config[2] == '1' and 1 or 0, config[3] or '', waiting,
  redis.call('ZCARD', INFLIGHT), redis.call('ZCARD', SCHEDULED), redis.call('ZCARD', RETRY),
  redis.call('ZCARD', ENDED[1]), redis.call('ZCARD', ENDED[2]), redis.call('ZCARD', ENDED[3]),
  redis.call('ZCARD', ENDED[4]),
  oldest or '', next_due() or '', next_rung(), redis.call('HGETALL', COUNTS),
  redis.call('ZCARD', AT_RISK) - breached, breached, STOPPED or '', redis.call('ZCARD', ACTIONS),
  redis.call('ZCARD', DEAD_ACTIONS) }
