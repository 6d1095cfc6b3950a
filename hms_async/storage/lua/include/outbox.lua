-- What somebody outside is to be told or asked, written in the script that decides it, and worked
-- off by whichever supervisor comes first (R19). Needs queue, tally, actions.

local MOST_ACTIONS = 10000

-- Reads what speaking up may write, so that a wrong type raises before anything is written (R8).
local function check_types_to_speak()
  redis.call('ZCARD', AT_RISK)
  redis.call('ZCARD', ACTIONS)
  redis.call('ZCARD', DEAD_ACTIONS)
  for _, kind in ipairs({ 'sla', 'forecast', 'delivery' }) do
    redis.call('HLEN', NORMAL .. ':incident:' .. kind)
  end
  redis.call('HLEN', NORMAL .. ':pace')
end

local receivers = {} -- 'webhook', 'notify': who the queue's escalations go to

local function set_receivers(webhook, notify)
  if webhook and webhook ~= '' then receivers[#receivers + 1] = 'webhook' end
  if notify and notify ~= '' and notify ~= '[]' then receivers[#receivers + 1] = 'notify' end
end

-- Further arguments are its fields. One that waits already is not written again.
local function put_action(id, kind, ...)
  if redis.call('ZSCORE', ACTIONS, id) then return end
  local key = action_key(id)
  redis.call('DEL', key) -- whatever a foreign hand left there: no write may fail now (R8)
  redis.call('ZREM', DEAD_ACTIONS, id) -- it has one record, so it is in one place
  redis.call('HSET', key, 'kind', kind, 'made', NOW, ...)
  redis.call('ZADD', ACTIONS, NOW, id)
end

-- Whether an action holds a task that has left its queue: to drop it would lose the task (I2).
local function holds_a_task(id) return string.find(id, '^[^:]*:[^:]*:reroute:') ~= nil end

-- Messages make room for what holds a task, but there must be some.
local function has_room() return redis.call('ZCARD', ACTIONS) < MOST_ACTIONS end

-- Lets go of the oldest beyond the most that a set may hold, and returns how many those were. Of the
-- dead none holds a task: it was brought back.
local function drop_oldest_actions(set, most)
  local over = redis.call('ZCARD', set) - most
  if over <= 0 then return 0 end
  local dropped, keys = {}, {}
  for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    if #dropped == over then break end
    if set == DEAD_ACTIONS or not holds_a_task(id) then
      dropped[#dropped + 1] = id
      keys[#keys + 1] = action_key(id)
    end
  end
  call_in_slices('DEL', NORMAL .. ':none', keys)
  call_in_slices('ZREM', set, dropped)
  return #dropped
end
