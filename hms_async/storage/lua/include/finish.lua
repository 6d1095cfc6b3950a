-- The end of a task: its record, its place among the ended, its clock, its key, its event.
-- Its keys stay until `prune` forgets them with that place. Needs queue, places, clock, histogram,
-- tell.

local ended = {}
local off_the_clock = {}
local kept = { met = 0, missed = 0 }

-- Of the latest tasks that broke their promise: `<ms late>:<id>` -> when they ended. It only shows
-- how things were, so a foreign key in its place stops nothing.
local MISSED = NORMAL .. ':missed'
local MOST_MISSED = 1000
local missed = {}

-- What the event of a failed task says if its worker said nothing: the message of its fault. Only
-- the ends that are failures pay for this. 500 characters are told, of four bytes at most.
local function about_fault(fault)
  local readable, about = pcall(function()
    local message = cjson.decode(fault).message
    if message == '' then return nil end
    if #message > 2000 then
      message = string.gsub(string.sub(message, 1, 2000), '[\192-\255][\128-\191]*$', '')
    end
    return cjson.encode({ message = message })
  end)
  return readable and about or nil
end

-- `task` holds what the record said: arrived, sla, key, corr, accepted (any may be false);
-- and `about`, what its event is to say, if anything. `window` is in ms. Further arguments are
-- fields for the record; for a failed task the first is `error`, its fault.
local function finish(id, state, task, window, ...)
  redis.call('HSET', run_key(id), 'state', state, 'finished', NOW_TEXT, ...)
  local list = ended[state]
  if not list then
    list = {}
    ended[state] = list
  end
  local n = #list
  list[n + 1], list[n + 2] = NOW_TEXT, id
  if task.key then
    -- A key lives until the later of its window and the task's end. After a requeue it may
    -- stand for a later task: then it is not ours to end.
    local rest = (tonumber(task.accepted or task.arrived) or NOW) + window - NOW
    if redis.pcall('GET', task.key) == id then
      redis.call('PEXPIRE', task.key, math.max(rest, 1))
    end
  end
  local arrived, sla = tonumber(task.arrived), tonumber(task.sla)
  if arrived and sla then
    off_the_clock[#off_the_clock + 1] = id
    local used = NOW - grace_of(id) - arrived
    if state == 'done' or state == 'failed' then observe(USED, used / sla) end
    -- To cancel in time breaks no promise, and to give up late keeps none.
    if used > sla or state == 'expired' then
      kept.missed = kept.missed + 1
      local n = #missed
      missed[n + 1], missed[n + 2] = NOW, math.max(math.floor(used - sla), 0) .. ':' .. id
    elseif state ~= 'cancelled' then
      kept.met = kept.met + 1
    end
  end
  if state == 'done' then observe_since(TOTAL, task.arrived) end
  local about = task.about
  if state == 'failed' and not about then about = about_fault(select(2, ...)) end
  tell(state, id, task.corr, about)
end

-- The record of a task of ours is gone, or is no hash any more: what is left ends in failed,
-- so that nothing that was accepted vanishes (I2).
local function end_without_record(id, window)
  redis.call('DEL', run_key(id))
  redis.call('HSET', run_key(id), 'queue', QUEUE, 'arrived', NOW)
  off_the_clock[#off_the_clock + 1] = id
  finish(id, 'failed', {}, window, 'error',
    '{"type":"BodyLost","message":"the record of this task is gone: body_lost"}')
end

-- `:at_risk` only shows how things stand, so a foreign key in its place stops nothing.
local function take_off_the_clock(ids)
  call_in_slices('ZREM', SLA, ids)
  if #ids > 0 then redis.pcall('ZREM', AT_RISK, unpack(ids)) end
end

local function write_missed()
  for first = 1, #missed, 1000 do
    redis.pcall('ZADD', MISSED, unpack(missed, first, math.min(first + 999, #missed)))
  end
  redis.pcall('ZREMRANGEBYRANK', MISSED, 0, -MOST_MISSED - 1)
end

local function write_ended()
  for state, list in pairs(ended) do
    call_in_slices('ZADD', NORMAL .. ':' .. state, list)
    count(state, #list / 2)
  end
  for word, n in pairs(kept) do
    if n > 0 then count(word, n) end
  end
  take_off_the_clock(off_the_clock)
  if #missed > 0 then write_missed() end
  write_told()
end

-- An attempt that came to nothing: it is counted by how it ended and by the type of its fault, and is
-- one entry of the last ten. `fault` is JSON made by whoever settles, `again` when the next attempt
-- may begin, if one is to be made after a while.
local function record_attempt(id, number, worker, started, fault, how, again)
  count('ended.' .. how)
  count_error(string.match(fault, '"type"%s*:%s*"([%a_][%w_.]*)"'))
  local key = attempts_key(id)
  redis.pcall('RPUSH', key, '{"number":' .. number .. ',"worker":' .. cjson.encode(worker or '')
    .. ',"started_ms":' .. (started or NOW) .. ',"finished_ms":' .. NOW
    .. (again and ',"again_ms":' .. again or '')
    .. ',"fault":' .. fault .. '}')
  redis.pcall('LTRIM', key, -10, -1)
end
