-- What a forecast is made from; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 how many waiting tasks to look at
-- Reply  'no_queue' | {now_ms, paused, waiting, in_progress, served, over_ms,
--        sample: two for each: position among those that wait, due_ms or '', what was told last,
--        '1' if the queue's clock stands still}
-- Keeps  I8: a bounded sample, however long the queue.
-- include queue places clock pace

local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[3], config[4])
local lanes, entries = {}, 0
for _, lane in ipairs({ { SUSPECTS, 'suspects' }, { EXPRESS, 'express' }, { NORMAL, 'normal' } }) do
  lanes[#lanes + 1] = { key = lane[1], name = lane[2], first = entries }
  entries = entries + redis.call('LLEN', lane[1])
end

-- Entries that were left behind say nothing; of the others the due instant. While the clock stands
-- still nothing comes due, whenever the queue goes on.
local function look_at(position)
  local lane = lanes[3]
  for _, one in ipairs(lanes) do
    if position >= one.first then lane = one end
  end
  local id = redis.call('LINDEX', lane.key, position - lane.first)
  local run = id and redis.pcall('HMGET', run_key(id), 'state', 'lane', 'arrived', 'sla') or {}
  if run.err or run[1] ~= 'waiting' or (run[2] or 'normal') ~= lane.name then return nil end
  local arrived, sla = tonumber(run[3]), tonumber(run[4])
  return not STOPPED and arrived and sla and arrived + sla + grace_of(id) or ''
end

local sample, most, last = {}, tonumber(ARGV[3]), -1
for i = 0, most - 1 do
  local position = math.floor(i * (entries - 1) / math.max(most - 1, 1))
  local due = position > last and position < entries and look_at(position)
  if due then
    sample[#sample + 1] = position
    sample[#sample + 1] = due
  end
  last = math.max(last, position)
end
local pace = read_pace()
return { NOW, config[2] == '1' and 1 or 0, math.max(entries - count_left_behind(), 0),
  redis.call('ZCARD', INFLIGHT), tostring(pace.served), tostring(pace.over), sample,
  redis.call('HGET', PACE, 'told') or '', STOPPED and 1 or 0 }
