-- What may come between a claim and its settle. Needs queue, open.

-- Where a worker process hears that tasks of its are to be cancelled (R17): a set of tokens, each
-- of which begins with the incarnation of its process (R1).
local function cancelling_key(token)
  return NORMAL .. ':cancelling:' .. (string.match(token, '^(.*)%-%d+%-%d+%.%d+$') or token)
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
  -- What a foreign hand has made no number of stays as it is (R8).
  redis.pcall('HINCRBY', run_key(id), 'crashes', -1)
  redis.pcall('HINCRBY', run_key(id), 'revived', 1)
  redis.call('HDEL', run_key(id), 'lost_token')
end
