-- What may come between a claim and its settle. Needs queue, open.

-- The lease of a call: what the caller asks for, within 3 s and a day, else the queue's.
local function lease_of(asked, configured)
  local wanted = tonumber(asked)
  if not wanted or wanted ~= wanted then return tonumber(configured) end
  return math.floor(math.min(math.max(wanted, 3000), 86400000))
end

-- Where a worker process hears that tasks of its are to be cancelled (R17): a set of tokens, each
-- of which begins with the incarnation of its process (R1).
local function cancelling_key(token)
  return NORMAL .. ':cancelling:' .. (string.match(token, '^(.*)%-%d+%-%d+%.%d+$') or token)
end

-- Whether the task of a lost lease cannot have been started: it was claimed ahead, and its lane has
-- made no call since (R15).
local function never_started(token)
  local incarnation, lane, seq, k = string.match(token or '', '^(.*)%-(%d+)%-(%d+)%.(%d+)$')
  if not k then return false end
  local record = redis.pcall('GET', NORMAL .. ':lane:' .. incarnation .. ':' .. lane)
  local last, to_start = string.match(type(record) == 'string' and record or '', '^(%d+) (%d+)')
  return last == seq and tonumber(k) > tonumber(to_start)
end

-- The lease has ended, one way or the other: nobody needs to hear of it any more.
local function no_more_cancelling(token)
  redis.pcall('SREM', cancelling_key(token), token)
end

-- A worker that was thought dead is alive: its crash was none, and its attempt counts for nothing
-- (R16). Once: the token is forgotten then, and one call may name it twice.
local taken_back = {}
local function take_back_crash(id, state, lost_token, token)
  if token == '' or lost_token ~= token or not OPEN[state] or taken_back[token] then return end
  taken_back[token] = true
  redis.call('HINCRBY', run_key(id), 'crashes', -1)
  redis.call('HINCRBY', run_key(id), 'revived', 1)
  redis.call('HDEL', run_key(id), 'lost_token')
end
