-- How many tasks of a queue are where. Needs queue, places, clock, actions,
-- line.

-- While the clock stands still nothing comes due.
local function next_rung()
  local at = not STOPPED and redis.call('ZRANGE', SLA, 0, 0, 'WITHSCORES')[2]
  return at and at + DRIFT or ''
end

-- Returns the reply of `stats`, given the settings `paused` and `sla_ms`, what is known of the line,
-- and when its oldest task arrived.
local function read_stats(paused, sla, line, oldest)
  local breached = redis.call('ZCOUNT', AT_RISK, '-inf', '(' .. NOW - DRIFT)
  return { NOW, paused == '1' and 1 or 0, sla or '', line.waiting,
    redis.call('ZCARD', INFLIGHT), redis.call('ZCARD', SCHEDULED), redis.call('ZCARD', RETRY),
    redis.call('ZCARD', ENDED[1]), redis.call('ZCARD', ENDED[2]), redis.call('ZCARD', ENDED[3]),
    redis.call('ZCARD', ENDED[4]),
    oldest or '', next_due() or '', next_rung(), redis.call('HGETALL', COUNTS),
    redis.call('ZCARD', AT_RISK) - breached, breached, STOPPED or '', redis.call('ZCARD', ACTIONS),
    redis.call('ZCARD', DEAD_ACTIONS) }
end
