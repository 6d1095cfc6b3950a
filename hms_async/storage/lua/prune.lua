-- Forget ended tasks beyond their age or number, and old events.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 limit for each state   4 age of events in ms
--        5 which supervisor asks, or ''
-- Reply  'no_queue' | {pruned, more}
-- Keeps  I8; a record is deleted only if it is terminal and ended at the very instant that the
--        set says (R6): a task that was requeued and ended again is another entry. One that is on
--        its way to another queue is left until it is there (I2).
-- include queue places actions case supervisors

local limit = tonumber(ARGV[3])
local config = redis.call('HMGET', CONFIG, 'version', 'keep_done_ms', 'keep_done_max',
  'keep_failed_ms', 'keep_failed_max')
if not config[1] then return 'no_queue' end
check_types()
redis.call('ZCARD', ACTIONS)
begin_draining()

local pruned, more = 0, false

local function forget(set, state, entries)
  local ids, keys = {}, {}
  for i = 1, #entries, 2 do
    local id, score = entries[i], entries[i + 1]
    local run = redis.pcall('HMGET', run_key(id), 'state', 'finished', 'moving',
      'corr')
    local moves = not run.err and run[3] and redis.call('ZSCORE', ACTIONS, run[3])
    if not moves and not run.err and run[1] == state and tonumber(run[2]) == tonumber(score) then
      for _, key in ipairs({ body_key(id), run_key(id), attempts_key(id) }) do
        keys[#keys + 1] = key
      end
      leave_case(run[4], id)
      pruned = pruned + 1
    end
    if not moves then ids[#ids + 1] = id end
  end
  call_in_slices('DEL', NORMAL .. ':none', keys)
  call_in_slices('ZREM', set, ids)
  if #ids >= limit then more = true end
end

for i, state in ipairs({ 'done', 'failed', 'cancelled', 'expired' }) do
  local set = ENDED[i]
  local keep, most = config[2], tonumber(config[3])
  if state == 'failed' then keep, most = config[4], tonumber(config[5]) end
  forget(set, state, redis.call('ZRANGEBYSCORE', set, '-inf', NOW - keep, 'WITHSCORES', 'LIMIT',
    0, limit))
  local excess = math.min(redis.call('ZCARD', set) - most, limit)
  if excess > 0 then
    forget(set, state, redis.call('ZRANGE', set, 0, excess - 1, 'WITHSCORES'))
  end
end

-- Stream ids are the server's clock, whatever `now_ms` says.
local time = redis.call('TIME')
redis.call('XTRIM', EVENTS, 'MINID', '~', time[1] * 1000 - ARGV[4])

if ARGV[5] and ARGV[5] ~= '' then
  redis.pcall('ZREMRANGEBYSCORE', SUPERVISORS, '-inf', NOW - LATELY_MS)
  redis.pcall('ZADD', SUPERVISORS, NOW, ARGV[5])
  redis.pcall('ZREMRANGEBYRANK', SUPERVISORS, 0, -MOST_SUPERVISORS - 1)
end
return { pruned, more and 1 or 0 }
