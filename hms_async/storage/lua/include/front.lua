-- Tasks that go back to the front of the express lane (R14). Needs queue.

-- What decides a task's place: its arrival, then which claim of the queue its last one was, both as
-- its record says.
local function place_of(id, arrived, nth)
  return { id = id, tonumber(arrived) or 0, tonumber(nth) or 0 }
end

-- The oldest must lead, so the newest is pushed first; those of one instant as they were claimed.
local function put_in_front(places)
  table.sort(places, function(a, b)
    for i = 1, 2 do
      if a[i] ~= b[i] then return a[i] > b[i] end
    end
    return a.id > b.id
  end)
  local ids = {}
  for i, place in ipairs(places) do ids[i] = place.id end
  call_in_slices('LPUSH', EXPRESS, ids)
end
