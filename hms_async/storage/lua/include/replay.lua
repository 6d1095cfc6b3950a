-- The claims of a call that is repeated (R2). Needs queue, places.

-- Adds to `taken`, as `claim` does, the recorded claims whose token still holds, leases renewed.
local function claim_again(taken, ids, last_to_start, token_stem, lease, policy)
  local claims, k = taken.claims, 0
  for id in string.gmatch(ids, '%S+') do
    k = k + 1
    local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'attempt', 'crashes',
      'arrived', 'sla')
    local token = token_stem .. k
    local body = redis.call('MGET', body_key(id))[1]
    if not run.err and run[1] == 'in_progress' and run[2] == token and body then
      redis.call('ZADD', INFLIGHT, 'XX', NOW + lease, id)
      local crashes, arrived = tonumber(run[4]) or 0, tonumber(run[5])
      if k <= last_to_start then taken.to_start = taken.to_start + 1 end
      if crashes >= policy.suspect_at then taken.suspect = token end
      local n = #claims
      claims[n + 1], claims[n + 2], claims[n + 3] = id, token, tonumber(run[3])
      claims[n + 4], claims[n + 5] = crashes, arrived or NOW
      claims[n + 6], claims[n + 7], claims[n + 8] = due_of(id, arrived, run[6]), 0, body
    end
  end
end
