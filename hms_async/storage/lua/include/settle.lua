-- Outcomes of attempts (R3, I5). Needs queue, places, finish, lease, front.
-- All records are read before the first write, so a broken one cannot stop half way (R8).

local WORDS = { done = true, fail = true, retry = true, error = true, release = true }

-- What only few settles need: most are `done`, of a live lease, of a task without a key.
local function read_rest(settle)
  local rest = redis.call('HMGET', run_key(settle.id), 'settled_by', 'lost_token', 'attempt',
    'crashes', 'revived', 'accepted', 'nth')
  settle.settled_by, settle.lost_token, settle.accepted = rest[1], rest[2], rest[6]
  settle.attempt, settle.crashes = tonumber(rest[3]) or 1, tonumber(rest[4]) or 0
  settle.revived, settle.nth = tonumber(rest[5]) or 0, rest[7]
end

local function read_settle(id, token, word)
  local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'queue', 'cancel', 'started',
    'arrived', 'sla', 'key', 'corr')
  local settle = { id = id, token = token, word = word, state = run[1] or '', cancel = run[4],
    started = run[5], arrived = run[6], sla = run[7], key = run[8], corr = run[9] }
  if not run[1] or run[3] ~= QUEUE then
    settle.answer = 'gone'
  elseif run[1] == 'in_progress' and run[2] == token and token ~= '' then
    settle.answer = 'ok'
    if word ~= 'done' or settle.key then read_rest(settle) end
  else
    read_rest(settle)
    -- A task that ended keeps its last token; one that goes on has it as `settled_by`.
    local ended_by = run[1] ~= 'in_progress' and run[2] or settle.settled_by
    settle.answer = token ~= '' and token == ended_by and 'already' or 'stale'
  end
  return settle
end

local function read_settles(first)
  local settles, seen = {}, {}
  if #ARGV - first + 1 > 1250 then error('at most 250 settles a call') end -- R10
  for i = first, #ARGV, 5 do
    local token, word = ARGV[i + 1], ARGV[i + 2]
    if not ARGV[i + 4] then error('a settle has five parts') end
    if not WORDS[word] then error('no outcome is called ' .. word) end
    local settle = read_settle(ARGV[i], token, word)
    settle.arg, settle.body = ARGV[i + 3], ARGV[i + 4]
    if settle.answer == 'ok' then
      if seen[token] then settle.answer = 'already' end
      seen[token] = true
    end
    settles[#settles + 1] = settle
  end
  return settles
end

local function fault_of(body)
  if body == '' then return '{"type":"Failed","message":""}' end
  if #body > 65536 then return '{"type":"Failed","message":"the reason was over 64 KiB"}' end
  return body
end

local released = {}

-- The lease ends, and the task goes on.
local function end_lease(settle, ...)
  redis.call('HSET', run_key(settle.id), 'settled_by', settle.token, ...)
  redis.call('HDEL', run_key(settle.id), 'token')
end

-- A message of 500 characters, written as JSON, and the names around it.
local ROOM_FOR_A_MESSAGE = 4096

-- Ends a task with what its worker says about that: `{"message":"...","handoff":{...}}`. Decoding
-- it would cost more than the end itself, so it goes on as text, whatever it is. The hand-off comes
-- last, where it can be cut out.
local function end_task(settle, state, policy, field, value)
  local about = settle.arg
  if about == '' or string.sub(about, 1, 1) ~= '{' or string.sub(about, -1) ~= '}' then
    finish(settle.id, state, settle, policy.window, field, value)
    return state
  end
  settle.about = about
  local _, head = string.find(about, '"handoff":', 1, true)
  if head then
    finish(settle.id, state, settle, policy.window, field, value, 'handoff',
      string.sub(about, head + 1, -2))
  else
    finish(settle.id, state, settle, policy.window, field, value)
  end
  return state
end

-- What is too large stays out (R10): a result or hand-off fails its task, a failure only says less.
local function check_sizes(settle, policy)
  local excess = nil
  if #settle.arg > policy.max_result + ROOM_FOR_A_MESSAGE then
    excess = 'message and hand-off have ' .. #settle.arg
    settle.arg = ''
  end
  if settle.word ~= 'done' then return end
  if #settle.body > policy.max_result then excess = 'the result has ' .. #settle.body end
  if not excess then return end
  settle.word, settle.arg = 'fail', ''
  read_rest(settle)
  settle.body = '{"type":"ResultInvalid","message":"' .. excess .. ' bytes, the queue takes '
    .. policy.max_result .. '"}'
end

-- How long after a failed attempt the next one may begin; nothing when none is to be made.
local function delay_of(settle, policy)
  local used = settle.attempt - settle.crashes - settle.revived
  if settle.word == 'fail' or used >= policy.max_attempts then return nil end
  local delay = tonumber(settle.arg)
  if not delay or delay ~= delay then delay = 0 end
  if settle.word == 'error' then
    local doublings = math.min(math.max(used, 1) - 1, 62)
    delay = math.min(policy.cap, policy.base * 2 ^ doublings) * delay
  end
  return math.min(math.max(math.floor(delay), 0), LONGEST_MS)
end

-- Applies one outcome and returns the state it leads to.
local function apply(settle, worker, policy)
  observe_since(RAN, settle.started)
  check_sizes(settle, policy)
  local id, word = settle.id, settle.word
  if word == 'done' then return end_task(settle, 'done', policy, 'result', settle.body) end
  -- Somebody wants it cancelled; only an outcome that ends it comes before that (R17).
  if settle.cancel and word ~= 'fail' then
    count('ended.cancelled')
    finish(id, 'cancelled', settle, policy.window)
    return 'cancelled'
  end
  if word == 'release' then
    end_lease(settle, 'state', 'waiting', 'lane', 'express', 'ready', NOW,
      'attempt', math.max(settle.attempt - 1, 0))
    released[#released + 1] = place_of(id, settle.arrived, settle.nth)
    count('released')
    return 'waiting'
  end
  local fault, delay = fault_of(settle.body), delay_of(settle, policy)
  record_attempt(id, settle.attempt, worker, settle.started, fault,
    string.find(fault, '^{"type":"RunTimeout"') and 'timeout' or 'error', delay and NOW + delay)
  if not delay then return end_task(settle, 'failed', policy, 'error', fault) end
  end_lease(settle, 'state', 'retrying')
  redis.call('ZADD', RETRY, NOW + delay, id)
  count('retried')
  tell('retrying', id, settle.corr)
  return 'retrying'
end

local function write_settles(settles, worker, policy)
  local replies, gone = {}, {}
  for i, settle in ipairs(settles) do
    if settle.answer == 'ok' then
      settle.state = apply(settle, worker, policy)
      if settle.cancel then no_more_cancelling(settle.token) end
      gone[#gone + 1] = settle.id
    elseif settle.answer == 'stale' then
      take_back_crash(settle.id, settle.state, settle.lost_token, settle.token)
    end
    replies[2 * i - 1], replies[2 * i] = settle.answer, settle.state
  end
  put_in_front(released)
  call_in_slices('ZREM', INFLIGHT, gone)
  return replies
end
