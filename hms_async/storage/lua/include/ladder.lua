-- The rungs of a queue's promise: { { percent, plus_ms, name }, ... } in `config.ladder`.

local function read_ladder(json)
  return json and json ~= '' and cjson.decode(json) or {}
end

local function rung_at(rung, arrived, sla)
  return arrived + math.floor(sla * rung[1] / 100) + rung[2]
end
