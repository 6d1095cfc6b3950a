-- The line of a queue, over all its lanes. Needs queue, places.

local MOST_LEFT_BEHIND = 10

-- Returns how many entries each lane has, all have together, and how many tasks wait.
local function count_line()
  local line = count_lanes()
  line.entries = line.normal + line.express + line.suspects
  line.waiting = line.entries - count_left_behind()
  return line
end

-- Returns when the first task of a lane arrived, and since when it waits there: deliberate delays do
-- not count. The first entries may have been left behind; past a few of them nothing is known.
local function first_of(key, lane)
  for _, id in ipairs(redis.call('LRANGE', key, 0, MOST_LEFT_BEHIND - 1)) do
    local run = #id <= LONGEST_ID and redis.pcall('HMGET', run_key(id), 'state', 'lane', 'arrived',
      'ready') or {}
    if run[1] == 'waiting' and (run[2] or 'normal') == lane then
      local arrived = tonumber(run[3])
      return arrived, tonumber(run[4]) or arrived
    end
  end
end

-- Returns when the oldest of the lanes' first tasks arrived, and how long one of them has waited at
-- the most; nothing if there is none.
local function look_at_heads()
  local oldest, longest
  for lane, key in pairs({ suspects = SUSPECTS, express = EXPRESS, normal = NORMAL }) do
    local arrived, since = first_of(key, lane)
    if arrived then oldest = math.min(oldest or arrived, arrived) end
    if since then longest = math.max(longest or 0, NOW - since) end
  end
  return oldest, longest
end
