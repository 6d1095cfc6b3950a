-- Cases: `case:<correlation id>`, id -> when it arrived. An index for people, not a task's place: a
-- foreign key in its place hides the case and stops nothing, so each command is a `pcall`.
-- Needs queue.

local MOST_OF_A_CASE = 2000
local CASE_KEPT_MS = 34560000000 -- 400 days after its last arrival; as a rule `prune` empties it
local LONGEST_CASE = 512
-- On a cluster a case would be in another slot than its tasks: none is kept there.
local case_front = string.match(ARGV[1], '^(.*)task:$')

-- Foreign text may be anything, and so long that a key of it would be a burden: what begins alike
-- shares a key then, and readers look at the records.
local function case_key(corr) return case_front .. 'case:' .. string.sub(corr, 1, LONGEST_CASE) end

-- Puts tasks of a case into it, given as score and id in turns, a thousand at most.
local function add_to_case(corr, entries)
  if not case_front or corr == '' then return end
  local key = case_key(corr)
  local added = redis.pcall('ZADD', key, unpack(entries))
  if type(added) ~= 'number' then return end
  redis.call('PEXPIRE', key, CASE_KEPT_MS)
  if redis.call('ZCARD', key) > MOST_OF_A_CASE then
    redis.call('ZREMRANGEBYRANK', key, 0, -MOST_OF_A_CASE - 1)
  end
end

local function leave_case(corr, id)
  if case_front and corr and corr ~= '' then redis.pcall('ZREM', case_key(corr), id) end
end
