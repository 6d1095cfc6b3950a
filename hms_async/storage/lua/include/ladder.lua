-- The rungs of a queue's promise: { { percent, plus_ms, name, { action, ... } }, ... } in
-- `config.ladder`. Needs queue, clock. Instants are of the queue's clock, that of the arrival too.

local AT_RISK_PERCENT = 80

-- What a newer release, or a foreign hand, may have put among the actions is no word of ours.
local function words_of(actions)
  local words = {}
  for _, action in ipairs(type(actions) == 'table' and actions or {}) do
    if type(action) == 'string' and string.find(action, '^[^:]') then words[#words + 1] = action end
  end
  return words
end

-- Raises for what a foreign hand broke, so it is called before anything is written (R8).
local function read_ladder(json)
  local ladder = json and json ~= '' and cjson.decode(json) or {}
  for _, rung in ipairs(ladder) do
    local percent, plus = tonumber(rung[1]) or math.huge, tonumber(rung[2]) or math.huge
    if not (percent < math.huge and plus < math.huge and type(rung[3]) == 'string') then
      error('a rung of the ladder cannot be read')
    end
    rung[1], rung[2], rung[4] = percent, plus, words_of(rung[4])
  end
  return ladder
end

-- The same where something has been written already: a ladder that cannot be read has no rungs then,
-- and the next sweep says so.
local function read_ladder_late(json)
  local readable, ladder = pcall(read_ladder, json)
  return readable and ladder or {}
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
    -- It only shows how things stand, so a foreign key in its place stops nothing.
    redis.pcall('ZADD', AT_RISK, arrived + sla, id)
  end
end
