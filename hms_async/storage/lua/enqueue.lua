-- Accept tasks into one queue.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 queue name   4 prefix of idempotency keys
--        then three for each task: id, envelope, options
--        options: '' or JSON {corr, prio, delay (ms), eta (ms), key, sla (ms), expires (ms, an
--        instant), expires_in (ms), max_wait (ms), run_timeout (ms), again {of, who, via, reason}}
--        again: of which task of this queue it is another run; who says so, or '' when it is no
--        operator's act
-- Reply  'no_queue', or one for each task: 'created'
--        | {'exists', id, state} | {'id_in_use', id, queue} | {'full', id, max_depth}
--        | {'too_large', id, max_payload_bytes}
-- Keeps  I2 (bodies are written first, so a full server refuses the whole call: R9),
--        I4 (arrival order), I7 (an id or key is one task: R6), I8 (max_depth), and R23: that a task
--        was run again is written down with the new one, once.
-- include queue clock ladder

local queue, unique = ARGV[3], ARGV[4]
local config = redis.call('HMGET', CONFIG, 'version', 'sla_ms', 'ladder', 'max_depth',
  'max_payload_bytes', 'clock_stood', 'clock_stopped', 'removing')
if not config[1] or config[8] then return 'no_queue' end
set_clock(config[6], config[7])
local queue_sla, ladder = tonumber(config[2]), nil
local max_depth, max_payload = tonumber(config[4]), tonumber(config[5])
local depth = 0
if max_depth then
  -- include places
  depth = count_entries() + redis.call('ZCARD', SCHEDULED) + redis.call('ZCARD', RETRY)
    - count_left_behind()
end

-- The end of a long list is searched for, so once for both.
local function add(list, first, second)
  local n = #list
  list[n + 1], list[n + 2] = first, second
end

-- Body and record of each task, looked for all at once: as a rule none is there.
local keys, found = {}, 0
for i = 5, #ARGV, 3 do
  local id = ARGV[i]
  if not is_id(id) then error('an id outside the alphabet') end
  add(keys, body_key(id), run_key(id))
end
for first = 1, #keys, 1000 do
  found = found + redis.call('EXISTS', unpack(keys, first, math.min(first + 999, #keys)))
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
local function read_options(json)
  if json == '' then return NO_OPTIONS end
  local readable, options = pcall(cjson.decode, json)
  if not readable or type(options) ~= 'table' then error('options are not a JSON object') end
  whole(options, 'delay', LONGEST_MS)
  whole(options, 'eta', NOW + LONGEST_MS)
  whole(options, 'sla', LONGEST_MS)
  whole(options, 'expires', NOW + LONGEST_MS)
  whole(options, 'expires_in', LONGEST_MS)
  whole(options, 'max_wait', LONGEST_MS)
  whole(options, 'run_timeout', LONGEST_MS)
  text(options, 'corr')
  text(options, 'key')
  local again = options.again
  if again ~= nil then
    if type(again) ~= 'table' then error('again is not a JSON object') end
    for _, name in ipairs({ 'of', 'who', 'via', 'reason' }) do text(again, name) end
    if not is_id(again.of or '') then error('again names no task') end
  end
  return options
end

-- What ends a task that has not begun, or runs for too long. `limits` tells a claim to look.
local function add_limits(fields, options)
  local expires = options.expires or (options.expires_in and NOW + options.expires_in)
  if expires then add(fields, 'expires', digits(expires)) end
  if options.max_wait then add(fields, 'max_wait', digits(options.max_wait)) end
  if expires or options.max_wait then add(fields, 'limits', '1') end
  if options.run_timeout then add(fields, 'run_timeout', digits(options.run_timeout)) end
end

-- How a task begins: the fields of its record, its lane, when it is due if that is later, and
-- its first rung.
local function beginning(options, key, size)
  local starts = options.eta or (options.delay and NOW + options.delay) or NOW
  local waits = starts > NOW
  local arrived = waits and starts or NOW
  local lane = options.prio == 'high' and 'express' or 'normal'
  local sla, rung = options.sla or queue_sla, nil
  local fields = { 'state', waits and 'scheduled' or 'waiting', 'queue', queue,
    'arrived', digits(arrived) }
  if lane ~= 'normal' then add(fields, 'lane', lane) end
  if waits then add(fields, 'accepted', digits(NOW)) end
  if options.prio == 'high' then add(fields, 'prio', 'high') end
  if options.corr then add(fields, 'corr', options.corr) end
  if options ~= NO_OPTIONS then add_limits(fields, options) end
  if options.again then add(fields, 'again_of', options.again.of) end
  if key then add(fields, 'key', key) end
  if size then add(fields, 'size', size) end
  if DRIFT > 0 then add(fields, 'shift', digits(DRIFT)) end
  if sla then
    add(fields, 'sla', digits(sla))
    ladder = ladder or read_ladder(config[3])
    rung = next_rung_at(ladder, arrived - DRIFT, sla)
  end
  return { fields = fields, lane = lane, starts = waits and starts, rung = rung and digits(rung),
    arrived = arrived }
end

-- What will be written, all of it collected before anything is (R8).
local accepted, wake = 0, false
local texts, records, rungs, scheduled = {}, {}, {}, {}
local cases -- correlation id -> what goes into its case
local reruns -- ids of tasks that are another run, and of which
local lanes = { normal = {}, express = {} }
local plain, earliest

-- Adds a scheduled task; one that becomes the earliest rings (R12).
local function schedule(id, starts)
  if not earliest then
    local first = redis.call('ZRANGE', SCHEDULED, 0, 0, 'WITHSCORES')[2]
    earliest = tonumber(first) or math.huge
  end
  if starts < earliest then
    earliest = starts
    wake = true
  end
  add(scheduled, starts, id)
end

local function accept(n, id, body, options, key)
  local size = #body > 16384 and #body
  local begins
  if size or options ~= NO_OPTIONS then
    begins = beginning(options, key, size)
  else
    plain = plain or beginning(options)  -- one for all that have nothing of their own
    begins = plain
  end
  accepted = accepted + 1
  add(texts, keys[2 * n - 1], body)
  if key then add(texts, key, id) end
  add(records, keys[2 * n], begins.fields)
  if begins.rung then add(rungs, begins.rung, id) end
  if options.corr then
    cases = cases or {}
    local case = cases[options.corr]
    if not case then
      case = {}
      cases[options.corr] = case
    end
    add(case, digits(begins.arrived), id)
  end
  if options.again then
    reruns = reruns or {}
    add(reruns, id, options.again)
  end
  if begins.starts then
    schedule(id, begins.starts)
  else
    local lane = lanes[begins.lane]
    lane[#lane + 1] = id
    wake = true
  end
end

-- The limit is on the payload, which an envelope of ours carries last.
local function too_large(body)
  if #body <= max_payload then return false end
  local _, head = string.find(body, '"payload":', 1, true)
  return #body - (head or 0) - 1 > max_payload
end

local function answer_existing(id)
  local run = redis.pcall('HMGET', run_key(id), 'queue', 'state')
  if run.err or not run[1] then return { 'exists', id, 'failed' } end
  if run[1] ~= queue then return { 'id_in_use', id, run[1] } end
  return { 'exists', id, run[2] }
end

local ids_here, keys_here = {}, {}

local function consider(n, id, body, options)
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
  if found > 0 and redis.call('EXISTS', body_key(id), run_key(id)) > 0 then
    return answer_existing(id)
  end
  if too_large(body) then return { 'too_large', id, max_payload } end
  if max_depth and depth + accepted >= max_depth then return { 'full', id, max_depth } end
  ids_here[id] = true
  if key then keys_here[key] = id end
  accept(n, id, body, options, key)
  return 'created'
end

local replies, refused = {}, nil
for n = 1, #keys / 2 do
  local i = 3 * n + 2
  local reply = consider(n, ARGV[i], ARGV[i + 1], read_options(ARGV[i + 2]))
  replies[n] = reply
  if reply ~= 'created' then
    refused = refused or {}
    refused[reply[1]] = (refused[reply[1]] or 0) + 1
  end
end

-- What was refused is only counted, so that a full server or a foreign key stops no answer (R9).
local function count_refused()
  for word, n in pairs(refused) do
    redis.pcall('HINCRBY', COUNTS, 'rejected.' .. word, n)
    redis.pcall('HINCRBY', STATS, 'rejected.' .. word, n)
  end
  keep_minute()
end

if accepted == 0 then
  if refused then count_refused() end
  return replies
end

-- What will be written is read first, so that a key of a wrong type raises before anything has been
-- written (R8); `schedule` has read its own.
if #lanes.normal > 0 then redis.call('LLEN', NORMAL) end
if #lanes.express > 0 then redis.call('LLEN', EXPRESS) end
if #rungs > 0 then redis.call('ZCARD', SLA) end
check_counters()
if wake then check_bell() end
local tell_of_reruns
if reruns then
  -- include audit
  local audit_key = NORMAL .. ':audit'
  check_audit(audit_key)
  tell_of_reruns = function()
    for i = 1, #reruns, 2 do
      local id, again = reruns[i], reruns[i + 1]
      -- The earlier one may be forgotten by now, and is not brought back by half.
      if redis.pcall('HGET', run_key(again.of), 'queue') == queue then
        redis.call('HSET', run_key(again.of), 'again_as', id)
      end
      audit(audit_key, again.who, again.via or '', again.reason or '', 'run_again', 'task', id,
        'of', again.of)
    end
  end
end

for first = 1, #texts, 1000 do
  redis.call('MSET', unpack(texts, first, math.min(first + 999, #texts)))
end
-- Most tasks of a call begin alike, and a copy costs the server a third of writing field by field.
-- Whoever may not copy (a right that is not needed for anything else) writes.
local pattern
for i = 1, #records, 2 do
  local record, fields = records[i], records[i + 1]
  local is_plain = plain and fields == plain.fields
  if not (is_plain and pattern and redis.pcall('COPY', pattern, record) == 1) then
    redis.call('HSET', record, unpack(fields))
    if is_plain then pattern = record end
  end
end
call_in_slices('ZADD', SLA, rungs)
call_in_slices('ZADD', SCHEDULED, scheduled)
call_in_slices('RPUSH', EXPRESS, lanes.express)
call_in_slices('RPUSH', NORMAL, lanes.normal)
redis.call('HINCRBY', COUNTS, 'accepted', accepted)
redis.call('HINCRBY', STATS, 'accepted', accepted)
if minute_is_new then keep_minute() end
if wake then ring() end
if refused then count_refused() end
if cases then
  -- include case
  for corr, case in pairs(cases) do
    for first = 1, #case, 1000 do
      add_to_case(corr, { unpack(case, first, math.min(first + 999, #case)) })
    end
  end
end
if tell_of_reruns then tell_of_reruns() end
return replies
