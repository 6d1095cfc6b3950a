-- What operators did, in the script that does it: nothing is done without an entry, and no entry is
-- written of what changed nothing. Needs nothing, so that scripts of other keys can include it.

-- Looks at the stream, so that a key of a wrong type raises before anything is written (R8).
local function check_audit(key) redis.call('XLEN', key) end

-- What people write may be long, and is cut at a whole character.
local function in_short(text)
  if #text <= 2000 then return text end
  return (string.gsub(string.sub(text, 1, 2000), '[\192-\255][\128-\191]*$', ''))
end

-- Nobody is named where the ladder or the runtime acts by itself: that has events. Further
-- arguments are fields that say what came of it. About the last 10,000 entries stay.
local function audit(key, who, via, reason, act, ...)
  if not who or who == '' then return end
  redis.call('XADD', key, 'MAXLEN', '~', 10000, '*', 'act', act, 'who', in_short(who),
    'via', in_short(via), 'reason', in_short(reason), ...)
end
