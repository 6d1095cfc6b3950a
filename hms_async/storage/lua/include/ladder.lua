-- The rungs of a queue's promise: { { percent, plus_ms, name, { action, ... } }, ... } in
-- `config.ladder`. Needs queue, clock. Instants are of the queue's clock, that of the arrival too.

local AT_RISK_PERCENT = 80

-- Raises for what a foreign hand broke, so it is called before anything is written (R8).
local function read_ladder(json)
  local ladder = json and json ~= '' and cjson.decode(json) or {}
  for _, rung in ipairs(ladder) do
    if not (tonumber(rung[1]) and tonumber(rung[2]) and type(rung[3]) == 'string') then
      error('a rung of the ladder cannot be read')
    end
  end
  return ladder
end

local function share_at(percent, arrived, sla) return arrived + math.floor(sla * percent / 100) end

local function rung_at(rung, arrived, sla) return share_at(rung[1], arrived, sla) + rung[2] end

-- The next rung after an instant, which stands for the last that was spoken: not its number, as the
-- ladder may have changed since. Nothing after the last.
local function next_of_ladder(ladder, arrived, sla, after)
  local earliest
  for _, rung in ipairs(ladder) do
    local at = rung_at(rung, arrived, sla)
    if (not after or at > after) and (not earliest or at < earliest) then earliest = at end
  end
  return earliest
end

-- When the clock next has something to do for a task: a rung, or to note that its promise is at
-- risk, or broken.
local function next_rung_at(ladder, arrived, sla, after)
  local earliest = next_of_ladder(ladder, arrived, sla, after)
  for _, at in ipairs({ share_at(AT_RISK_PERCENT, arrived, sla), arrived + sla }) do
    if (not after or at > after) and (not earliest or at < earliest) then earliest = at end
  end
  return earliest
end

-- Puts one task under the clock. `spoken` is the instant of the last rung that was spoken.
local function put_on_the_clock(id, ladder, arrived, sla, spoken)
  local rung = next_rung_at(ladder, arrived, sla, spoken)
  if rung then redis.call('ZADD', SLA, rung, id) end
  if share_at(AT_RISK_PERCENT, arrived, sla) <= NOW - DRIFT then
    redis.call('ZADD', AT_RISK, arrived + sla, id)
  end
end
