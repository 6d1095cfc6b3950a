-- Accept tasks into one queue.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 queue name   4 prefix of idempotency keys
--        then three for each task: id, envelope, options
--        options: '' or JSON {corr, prio, delay (ms), eta (ms), key, sla (ms)}
-- Reply  'no_queue', or one for each task: 'created'
--        | {'exists', id, state} | {'id_in_use', id, queue} | {'full', id, max_depth}
--        | {'too_large', id, max_payload_bytes}
-- Keeps  I2 (the body is written first, so a full server refuses the whole call: R9),
--        I4 (arrival order), I7 (an id or key is one task: R6), I8 (max_depth).
-- include queue tally ladder

local queue, unique = ARGV[3], ARGV[4]
local config = redis.call('HMGET', CONFIG, 'version', 'sla_ms', 'ladder', 'max_depth',
  'max_payload_bytes')
if not config[1] then return 'no_queue' end
check_types()
local queue_sla, ladder = tonumber(config[2]), false
local max_depth, max_payload = tonumber(config[4]), tonumber(config[5])
local depth = 0
if max_depth then
  depth = count_entries() + redis.call('ZCARD', SCHEDULED) + redis.call('ZCARD', RETRY)
    - count_left_behind()
end

-- The limit is on the payload, which an envelope of ours carries last.
local function too_large(body)
  if #body <= max_payload then return false end
  local _, head = string.find(body, '"payload":', 1, true)
  return #body - (head or 0) - 1 > max_payload
end

local replies, accepted = {}, {}
local ids_here, keys_here = {}, {}

local function answer_existing(id)
  local run = redis.pcall('HMGET', run_key(id), 'queue', 'state')
  if run.err or not run[1] then return { 'exists', id, 'failed' } end
  if run[1] ~= queue then return { 'id_in_use', id, run[1] } end
  return { 'exists', id, run[2] }
end

local function consider(id, body, options)
  local key = options.key and unique .. options.key
  if key then
    if keys_here[key] then return { 'exists', keys_here[key], 'waiting' } end
    local holder = redis.pcall('GET', key)
    if type(holder) == 'string' then
      local state = redis.pcall('HGET', run_key(holder), 'state')
      return { 'exists', holder, type(state) == 'string' and state or 'done' }
    end
  end
  if ids_here[id] then return { 'exists', id, 'waiting' } end
  if redis.call('EXISTS', body_key(id), run_key(id)) > 0 then return answer_existing(id) end
  if too_large(body) then return { 'too_large', id, max_payload } end
  if max_depth and depth + #accepted >= max_depth then return { 'full', id, max_depth } end
  ids_here[id] = true
  if key then keys_here[key] = id end
  accepted[#accepted + 1] = { id, body, options, key }
  return 'created'
end

-- Anything else than whole numbers and texts would break a command after the first write (R8).
local function whole(options, name, most)
  local value = tonumber(options[name])
  if value and value == value then
    options[name] = math.floor(math.max(math.min(value, most), 0))
  else
    options[name] = nil
  end
end

local function text(options, name)
  if type(options[name]) ~= 'string' then options[name] = nil end
end

local NO_OPTIONS = {}
for i = 5, #ARGV, 3 do
  if not is_id(ARGV[i]) then error('an id outside the alphabet') end
  local options = NO_OPTIONS
  if ARGV[i + 2] ~= '' then
    local readable, object = pcall(cjson.decode, ARGV[i + 2])
    if not readable or type(object) ~= 'table' then error('options are not a JSON object') end
    options = object
    whole(options, 'delay', LONGEST_MS)
    whole(options, 'eta', NOW + LONGEST_MS)
    whole(options, 'sla', LONGEST_MS)
    text(options, 'corr')
    text(options, 'key')
  end
  replies[#replies + 1] = consider(ARGV[i], ARGV[i + 1], options)
end
if #accepted == 0 then return replies end

local lanes = { normal = {}, express = {} }
local scheduled, rungs = {}, {}
local earliest = redis.call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2]
earliest = earliest and tonumber(earliest)
local wake = false

for _, task in ipairs(accepted) do
  local id, body, options, key = unpack(task, 1, 4)
  local starts = options.eta or (options.delay and NOW + options.delay) or NOW
  local waits = starts > NOW
  local arrived = waits and starts or NOW
  local lane = options.prio == 'high' and 'express' or 'normal'
  local sla = options.sla or queue_sla
  local fields = { 'state', waits and 'scheduled' or 'waiting', 'lane', lane, 'queue', queue,
    'arrived', arrived }
  local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  if waits then set('accepted', NOW) end
  if options.prio == 'high' then set('prio', 'high') end
  if options.corr then set('corr', options.corr) end
  if key then set('key', key) end
  if #body > 16384 then set('size', #body) end
  if sla then
    set('sla', sla)
    set('due', arrived + sla)
    ladder = ladder or read_ladder(config[3])
    local rung = next_rung_at(ladder, arrived, sla)
    if rung then
      rungs[#rungs + 1] = rung
      rungs[#rungs + 1] = id
    end
  end
  redis.call('SET', body_key(id), body)
  redis.call('HSET', run_key(id), unpack(fields))
  if key then redis.call('SET', key, id) end
  if waits then
    scheduled[#scheduled + 1] = starts
    scheduled[#scheduled + 1] = id
    if not earliest or starts < earliest then
      earliest = starts
      wake = true
    end
  else
    local list = lanes[lane]
    list[#list + 1] = id
    wake = true
  end
end
call_in_slices('ZADD', SLA, rungs)
call_in_slices('ZADD', SCHEDULED, scheduled)
call_in_slices('RPUSH', EXPRESS, lanes.express)
call_in_slices('RPUSH', NORMAL, lanes.normal)
count('accepted', #accepted)
write_tally()
if wake then ring() end
return replies
