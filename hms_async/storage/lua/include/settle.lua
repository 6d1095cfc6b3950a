-- Outcomes of attempts (R3, I5). Needs queue, tally, finish.
-- All records are read before the first write, so a broken one cannot stop half way (R8).

local function read_settles(first)
  local settles, seen = {}, {}
  for i = first, #ARGV, 5 do
    local id, token = ARGV[i], ARGV[i + 1]
    local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'settled_by', 'attempt',
      'crashes', 'arrived', 'due', 'sla', 'started', 'key', 'corr', 'accepted')
    local answer = 'stale'
    if run.err or not run[1] then
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
  local attempt, crashes = tonumber(run[4] or 1), tonumber(run[5] or 0)
  local task = { arrived = run[6], due = run[7], sla = run[8], key = run[10], corr = run[11],
    accepted = run[12] }
  observe_since('run', RUN_MS, run[9])
  if word == 'done' then
    finish(id, 'done', task, policy.keep_done, policy.window, 'result', settle.body,
      'settled_by', settle.token)
    redis.call('HDEL', run_key(id), 'token')
    return 'done'
  end
  if word == 'release' then
    redis.call('HSET', run_key(id), 'state', 'waiting', 'lane', 'express', 'ready', NOW,
      'attempt', math.max(attempt - 1, 0), 'settled_by', settle.token)
    redis.call('HDEL', run_key(id), 'token')
    released[#released + 1] = { tonumber(run[6] or 0), #released, id }
    count('released')
    return 'waiting'
  end
  local fault = fault_of(settle.body)
  record_attempt(id, attempt, worker, run[9], fault)
  local used = attempt - crashes
  if word == 'fail' or used >= policy.max_attempts then
    finish(id, 'failed', task, policy.keep_failed, policy.window, 'error', fault,
      'settled_by', settle.token)
    redis.call('PEXPIRE', attempts_key(id), policy.keep_failed)
    redis.call('HDEL', run_key(id), 'token')
    return 'failed'
  end
  local delay = tonumber(settle.arg) or 0
  if word == 'error' then
    local doublings = math.min(math.max(used, 1) - 1, 62)
    delay = math.floor(math.min(policy.cap, policy.base * 2 ^ doublings) * delay)
  end
  redis.call('HSET', run_key(id), 'state', 'retrying', 'settled_by', settle.token)
  redis.call('HDEL', run_key(id), 'token')
  redis.call('ZADD', RETRY, NOW + math.max(math.floor(delay), 0), id)
  count('retried')
  if task.corr then
    announce('type', 'retrying', 'id', id, 'corr', task.corr)
  else
    announce('type', 'retrying', 'id', id)
  end
  return 'retrying'
end

-- The oldest must lead the express lane, so the newest is pushed first (R14).
local function put_back(tasks)
  table.sort(tasks, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    return a[2] > b[2]
  end)
  local ids = {}
  for i, task in ipairs(tasks) do ids[i] = task[3] end
  call_in_slices('LPUSH', EXPRESS, ids)
end

local function write_settles(settles, worker, policy)
  local replies, gone = {}, {}
  for _, settle in ipairs(settles) do
    if settle.answer == 'ok' then
      settle.state = apply(settle, worker, policy)
      gone[#gone + 1] = settle.id
    end
    replies[#replies + 1] = settle.answer
    replies[#replies + 1] = settle.state
  end
  put_back(released)
  call_in_slices('ZREM', INFLIGHT, gone)
  return replies
end
