-- Outcomes of attempts (R3, I5). Needs queue, tally, finish, lease, front.
-- All records are read before the first write, so a broken one cannot stop half way (R8).

local WORDS = { done = true, fail = true, retry = true, error = true, release = true }

local function read_settles(first)
  local settles, seen = {}, {}
  if #ARGV - first + 1 > 1250 then error('at most 250 settles a call') end -- R10
  for i = first, #ARGV, 5 do
    local id, token = ARGV[i], ARGV[i + 1]
    if not ARGV[i + 4] then error('a settle has five parts') end
    if not WORDS[ARGV[i + 2]] then error('no outcome is called ' .. ARGV[i + 2]) end
    local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'settled_by', 'attempt',
      'crashes', 'arrived', 'due', 'sla', 'started', 'key', 'corr', 'accepted',
      'queue', 'cancel', 'lost_token', 'revived')
    local answer = 'stale'
    if run.err or not run[1] or run[13] ~= QUEUE then
      answer = 'gone'
    elseif token ~= '' and run[3] == token or seen[token] then
      answer = 'already'
    elseif token ~= '' and run[2] == token and run[1] == 'in_progress' then
      answer = 'ok'
      seen[token] = true
    end
    settles[#settles + 1] = { id = id, token = token, word = ARGV[i + 2], arg = ARGV[i + 3],
      body = ARGV[i + 4], answer = answer, state = not run.err and run[1] or '', run = run }
  end
  return settles
end

local function fault_of(body)
  if body == '' then return '{"type":"Failed","message":""}' end
  if #body > 65536 then return '{"type":"Failed","message":"the reason was over 64 KiB"}' end
  return body
end

local released = {}

-- Applies one outcome and returns the state it leads to.
local function apply(settle, worker, policy)
  local id, run, word = settle.id, settle.run, settle.word
  local attempt, crashes = tonumber(run[4]) or 1, tonumber(run[5]) or 0
  local task = { arrived = run[6], due = run[7], sla = run[8], key = run[10], corr = run[11],
    accepted = run[12] }
  observe_since('run', RUN_MS, run[9])
  if word == 'done' and #settle.body > policy.max_result then
    word = 'fail'
    settle.body = '{"type":"ResultInvalid","message":"the result has ' .. #settle.body
      .. ' bytes, the queue takes ' .. policy.max_result .. '"}'
  end
  if word == 'done' then
    finish(id, 'done', task, policy.keep_done, policy.window, 'result', settle.body,
      'settled_by', settle.token)
    return 'done'
  end
  -- Somebody wants it cancelled; only an outcome that ends it comes before that (R17).
  if run[14] and word ~= 'fail' then
    finish(id, 'cancelled', task, policy.keep_done, policy.window, 'settled_by', settle.token)
    return 'cancelled'
  end
  if word == 'release' then
    redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', 'express', 'ready', NOW,
      'attempt', math.max(attempt - 1, 0), 'settled_by', settle.token)
    released[#released + 1] = place_of(id, run[6], run[9], settle.token)
    count('released')
    return 'waiting'
  end
  local fault = fault_of(settle.body)
  record_attempt(id, attempt, worker, run[9], fault)
  local used = attempt - crashes - (tonumber(run[16]) or 0)
  if word == 'fail' or used >= policy.max_attempts then
    finish(id, 'failed', task, policy.keep_failed, policy.window, 'error', fault,
      'settled_by', settle.token)
    return 'failed'
  end
  local delay = tonumber(settle.arg)
  if not delay or delay ~= delay then delay = 0 end
  if word == 'error' then
    local doublings = math.min(math.max(used, 1) - 1, 62)
    delay = math.floor(math.min(policy.cap, policy.base * 2 ^ doublings) * delay)
  end
  redis.call('HSET', run_key(id), 'state', 'retrying', 'settled_by', settle.token)
  redis.call('ZADD', RETRY, NOW + math.min(math.max(math.floor(delay), 0), LONGEST_MS), id)
  count('retried')
  announce_task('retrying', id, task.corr)
  return 'retrying'
end

local function write_settles(settles, worker, policy)
  local replies, gone = {}, {}
  for _, settle in ipairs(settles) do
    local id, run = settle.id, settle.run
    if settle.answer == 'ok' then
      settle.state = apply(settle, worker, policy)
      redis.call('HDEL', run_key(id), 'token')
      if run[14] then no_more_cancelling(settle.token) end
      gone[#gone + 1] = id
    elseif settle.answer == 'stale' then
      take_back_crash(id, run[1], run[15], settle.token)
    end
    replies[#replies + 1] = settle.answer
    replies[#replies + 1] = settle.state
  end
  put_in_front(released)
  call_in_slices('ZREM', INFLIGHT, gone)
  return replies
end
