-- Clear a part of the keys of a queue that has been closed.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id of the operation that closed it   4 limit
-- Reply  'stale': it is not closed, or by another | {1 while there is more, tasks forgotten}
-- Keeps  I8; a task of another queue, whose id a foreign hand put here, is left alone.
-- include queue places clock actions case

local config = redis.call('HMGET', CONFIG, 'version', 'removing')
if config[1] or config[2] ~= ARGV[3] then return 'stale' end
local limit, cleared = tonumber(ARGV[4]), 0

local function forget(ids)
  local keys = {}
  for _, id in ipairs(ids) do
    local run = is_id(id) and redis.pcall('HMGET', run_key(id), 'queue', 'key', 'corr') or {}
    if not run.err and run[1] == QUEUE then
      if run[2] and redis.pcall('GET', run[2]) == id then keys[#keys + 1] = run[2] end
      for _, key in ipairs({ body_key(id), run_key(id), attempts_key(id) }) do
        keys[#keys + 1] = key
      end
      leave_case(run[3], id)
      cleared = cleared + 1
    end
  end
  call_in_slices('UNLINK', NORMAL .. ':none', keys)
end

-- What a foreign hand has made something else of goes with the rest.
local function is_of(kind, key)
  if redis.call('TYPE', key).ok == kind then return true end
  redis.call('UNLINK', key)
  return false
end

for _, set in ipairs({ SCHEDULED, RETRY, INFLIGHT, unpack(ENDED) }) do
  local ids = is_of('zset', set) and redis.call('ZRANGE', set, 0, limit - 1) or {}
  if #ids > 0 then
    forget(ids)
    call_in_slices('ZREM', set, ids)
    return { 1, cleared }
  end
end
for _, lane in ipairs({ SUSPECTS, EXPRESS, NORMAL }) do
  local ids = is_of('list', lane) and redis.call('LRANGE', lane, 0, limit - 1) or {}
  if #ids > 0 then
    forget(ids)
    redis.call('LTRIM', lane, #ids, -1)
    return { 1, cleared }
  end
end
for _, set in ipairs({ ACTIONS, DEAD_ACTIONS }) do
  local ids = is_of('zset', set) and redis.call('ZRANGE', set, 0, limit - 1) or {}
  if #ids > 0 then
    local keys = {}
    for i, id in ipairs(ids) do keys[i] = action_key(id) end
    call_in_slices('UNLINK', NORMAL .. ':none', keys)
    call_in_slices('ZREM', set, ids)
    return { 1, cleared }
  end
end
redis.call('UNLINK', BELL, SLA, AT_RISK, COUNTS, EVENTS, NORMAL .. ':swept', NORMAL .. ':pace',
  NORMAL .. ':supervisors', NORMAL .. ':mark', NORMAL .. ':rolled', NORMAL .. ':missed',
  NORMAL .. ':incident:sla', NORMAL .. ':incident:forecast', NORMAL .. ':incident:delivery')
return { 0, cleared }
