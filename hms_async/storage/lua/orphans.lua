-- Hold tasks against the indexes of their queue; mend, if asked to, what nothing leads to any more.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 '1' to mend, which only a paused queue allows
--        4 who   5 via   6 reason   then ids, a hundred at most
-- Reply  'no_queue' | 'not_paused' | for each id a word for what is wrong, '' where nothing is:
--        no_record  there is a body without a record; mended: it ends in failed
--        nothing    there is neither; the claim of such an entry tells of it
--        no_body    it is open and its body is gone; the claim ends it in failed
--        no_place   it waits, and no lane or set of its state has it; mended: it is put back
--        no_lease   it is in progress without a lease; mended: it gets one, and whoever holds it
--                   renews it, or it is rescued
--        unlisted   it has ended and nothing will forget it; mended: it is put among the ended
-- Keeps  I2: what was accepted comes to an end. I8: a lane of more than 10,000 is not searched.
--        R4: each move is from a state that was proven here. R23: each task mended has an entry.
-- include queue places clock open tally ladder histogram tell finish audit

local LONGEST_LANE = 10000
local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'window_ms', 'lease_ms',
  'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
local mends = ARGV[3] == '1'
if mends and config[2] ~= '1' then return 'not_paused' end
set_clock(config[5], config[6])
check_types()
check_audit(AUDIT)
local lengths = count_lanes()

local LANES = { normal = NORMAL, express = EXPRESS, suspects = SUSPECTS }

local function has_place(id, state, lane)
  if state == 'scheduled' then return redis.call('ZSCORE', SCHEDULED, id) end
  if state == 'retrying' then return redis.call('ZSCORE', RETRY, id) end
  local name = LANES[lane] and lane or 'normal'
  return lengths[name] > LONGEST_LANE or redis.call('LPOS', LANES[name], id)
end

local function examine(id)
  local run = redis.pcall('HMGET', run_key(id), 'state', 'lane', 'queue', 'finished')
  local body = redis.call('EXISTS', body_key(id)) == 1
  if run.err or not run[1] then return body and 'no_record' or 'nothing' end
  local state = run[1]
  if run[3] ~= QUEUE then return '' end
  if state == 'in_progress' then
    return redis.call('ZSCORE', INFLIGHT, id) and '' or 'no_lease'
  elseif not OPEN[state] then
    return redis.call('ZSCORE', NORMAL .. ':' .. state, id) and '' or 'unlisted', state, run[4]
  elseif not has_place(id, state, run[2]) then
    return 'no_place', state
  end
  return body and '' or 'no_body'
end

-- Its entries in the lanes are left behind from now on, and counted as such (R5).
local function end_lost(id)
  end_without_record(id, tonumber(config[3]) or 0)
  for name, key in pairs(LANES) do
    if lengths[name] <= LONGEST_LANE and redis.call('LPOS', key, id) then count_stale(1) end
  end
  for _, set in ipairs({ SCHEDULED, RETRY, INFLIGHT }) do redis.call('ZREM', set, id) end
end

local mend = {
  no_record = end_lost,
  no_lease = function(id)
    redis.call('ZADD', INFLIGHT, NOW + (tonumber(config[4]) or 30000), id)
  end,
  no_place = function(id, state)
    if state == 'waiting' then
      redis.call('HSET', run_key(id), 'lane', 'express')
      redis.call('RPUSH', EXPRESS, id)
    else
      redis.call('ZADD', state == 'scheduled' and SCHEDULED or RETRY, NOW, id)
    end
  end,
  unlisted = function(id, state, finished)
    redis.call('ZADD', NORMAL .. ':' .. state, tonumber(finished) or NOW, id)
  end,
}

local words, began = {}, false
for i = 7, #ARGV do
  local id = ARGV[i]
  local word, state, finished = examine(id)
  words[#words + 1] = word
  if mends and mend[word] then
    if not began then begin_draining() end
    began = true
    mend[word](id, state, finished)
    audit(AUDIT, ARGV[4], ARGV[5], ARGV[6], 'mend', 'task', id, 'was', word)
  end
end
if began then
  write_ended()
  write_tally()
end
return words
