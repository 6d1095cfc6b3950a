-- A page of tasks that an act on many is looking for; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 kind of place: front | back | set | ids
--        4 part of the key: '' for the normal lane   5 limit   6 '1' to be told of faults
--        front, back: 7 how many entries of the lane are behind us, on that side
--        set:         7 score and 8 id that we have passed   9 the highest score, or inf
--        ids:         7 ... the ids
-- Reply  'no_queue' | {more: 1 or 0, length of the lane or set, for each {entry, score or '', state,
--        queue, lane, arrived, accepted, requeued, finished, corr, cancel, sla, waived, error}};
--        without a record only {entry, score}
-- Keeps  I8: the work is that of the page, however long the lane or set is. A place in a set is a
--        score and an id, so that what leaves the set or enters it moves nobody past us.
-- include queue places

-- One that was closed answers: whoever closed it, and died, is followed by one who looks here first.
local config = redis.call('HMGET', CONFIG, 'version', 'removing')
if not config[1] and not config[2] then return 'no_queue' end
local kind, key, limit = ARGV[3], ARGV[4] == '' and NORMAL or NORMAL .. ':' .. ARGV[4], tonumber(ARGV[5])
local BYTES_A_PAGE = 1048576

-- As the server orders members; `<` goes by the server's locale.
local function comes_after(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a > b end
  end
  return #one > #other
end

-- The rank of the first entry behind a place, which need not be there any more.
local function rank_behind(score, id)
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = redis.call('ZCOUNT', key, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if comes_after(redis.call('ZRANGE', key, middle, middle)[1], id) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local entries, scores, length, more = {}, {}, 0, false
if kind == 'ids' then
  for i = 7, #ARGV do entries[#entries + 1] = ARGV[i] end
elseif kind == 'set' then
  length = redis.call('ZCARD', key)
  local rank = ARGV[7] == '' and 0 or rank_behind(ARGV[7], ARGV[8])
  local found = redis.call('ZRANGE', key, rank, rank + limit - 1, 'WITHSCORES')
  local highest = ARGV[9] == 'inf' and math.huge or tonumber(ARGV[9])
  more = #found == 2 * limit
  for i = 1, #found, 2 do
    if tonumber(found[i + 1]) > highest then
      more = false
      break
    end
    entries[#entries + 1], scores[#scores + 1] = found[i], found[i + 1]
  end
else
  length = redis.call('LLEN', key)
  local passed = tonumber(ARGV[7])
  if kind == 'front' then
    entries = redis.call('LRANGE', key, passed, passed + limit - 1)
  else
    local found = redis.call('LRANGE', key, -passed - limit, -passed - 1)
    for i = #found, 1, -1 do entries[#entries + 1] = found[i] end
  end
  more = #entries == limit
end

local fields = { 'state', 'queue', 'lane', 'arrived', 'accepted', 'requeued', 'finished', 'corr',
  'cancel', 'sla', 'waived' }
if ARGV[6] == '1' then fields[#fields + 1] = 'error' end
local rows, bytes = {}, 0
for i, entry in ipairs(entries) do
  local row = { #entry <= LONGEST_ID and entry or '', scores[i] or '' }
  local run = #entry <= LONGEST_ID and redis.pcall('HMGET', run_key(entry), unpack(fields)) or {}
  if not run.err and run[1] then
    for n = 1, #fields do
      row[n + 2] = run[n] or ''
      bytes = bytes + #row[n + 2]
    end
  end
  rows[i] = row
  if bytes > BYTES_A_PAGE and i < #entries then
    more = true
    break
  end
end
return { more and 1 or 0, length, rows }
