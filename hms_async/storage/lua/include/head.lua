-- Which task a queue would give out next, for workers that choose among several (R22). Needs queue,
-- clock.

-- Returns when it arrived, and when it is due or ''; nothing if the lanes begin with an entry that
-- says neither. Of the two lanes' first tasks it is the one due first.
local function look_at_head(due_of)
  local head = {}
  for name, key in pairs({ express = EXPRESS, normal = NORMAL }) do
    local id = redis.call('LINDEX', key, 0)
    local run = id and #id <= LONGEST_ID and redis.pcall('HMGET', run_key(id), 'state', 'lane',
      'arrived', 'sla') or {}
    local arrived = tonumber(run[3])
    if arrived and run[1] == 'waiting' and (run[2] or 'normal') == name then
      local due = due_of(id, arrived, run[4])
      if not head[1] or (tonumber(due) or math.huge) < (tonumber(head[2]) or math.huge) then
        head = { arrived, due }
      end
    end
  end
  return head
end
