-- What a forecast is made from. Needs queue, places, clock, pace, line.

-- Returns when the task of a lane's entry is due, or '' if it never is; nothing for an entry that was
-- left behind. While the clock stands still nothing comes due, whenever the queue goes on.
local function due_of(key, lane, index)
  local id = redis.call('LINDEX', key, index)
  local run = redis.pcall('HMGET', run_key(id), 'state', 'lane', 'arrived', 'sla')
  if run[1] ~= 'waiting' or (run[2] or 'normal') ~= lane then return nil end
  local arrived, sla = tonumber(run[3]), tonumber(run[4])
  return not STOPPED and arrived and sla and arrived + sla + grace_of(id) or ''
end

-- Returns the reply of `forecast`, given the setting `paused`, what is known of the line, and how many
-- tasks to look at.
local function read_backlog(paused, line, most)
  local lanes = { { 'suspects', SUSPECTS }, { 'express', EXPRESS }, { 'normal', NORMAL } }
  local sample, looks = {}, math.min(most, line.entries)
  local n, first = 1, 0 -- a lane, and how many entries are before it
  for i = 0, looks - 1 do
    local position = math.floor(i * (line.entries - 1) / math.max(looks - 1, 1))
    while position >= first + line[lanes[n][1]] do
      n, first = n + 1, first + line[lanes[n][1]]
    end
    local due = due_of(lanes[n][2], lanes[n][1], position - first)
    if due then
      sample[#sample + 1] = position
      sample[#sample + 1] = due
    end
  end
  local pace = read_pace()
  return { NOW, paused == '1' and 1 or 0, math.max(line.waiting, 0),
    redis.call('ZCARD', INFLIGHT), tostring(pace.served), tostring(pace.over), sample,
    redis.call('HGET', PACE, 'told') or '', STOPPED and 1 or 0 }
end
