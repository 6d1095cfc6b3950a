-- The rungs of a queue's promise: { { percent, plus_ms, name }, ... } in `config.ladder`.

local function read_ladder(json)
  return json and json ~= '' and cjson.decode(json) or {}
end

local function rung_at(rung, arrived, sla)
  return arrived + math.floor(sla * rung[1] / 100) + rung[2]
end

-- The next instant at which a rung is due; nothing after the last. `spoken` is the instant of
-- the last rung that was spoken, not its number: the ladder may have changed since.
local function next_rung_at(ladder, arrived, sla, spoken)
  local earliest
  for _, rung in ipairs(ladder) do
    local at = rung_at(rung, arrived, sla)
    if (not spoken or at > spoken) and (not earliest or at < earliest) then earliest = at end
  end
  return earliest
end
