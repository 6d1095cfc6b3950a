-- Settle finished attempts and claim new ones, exactly once for each lane and number.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 queue name   4 worker   5 incarnation   6 lane
--        7 seq   8 want   9 lease_ms, or '' for the queue's: 3 s to a day
--        10 '1' if the caller may take a suspect, that is if it holds none (R15)
--        11 how many more to claim ahead: they are not started before the lane's next call has been
--           answered, so that a crash before that call is none of theirs (R15)
--        12 '1' to be told of the task that goes next
--        then five for each settle, at most 250 of them: id, token, word, argument, body
--        word: done (body: result) | fail (body: fault) | retry (argument: delay in ms; fault)
--              | error (argument: jitter in [0, 1); fault: the queue's retry policy) | release
--        the argument of done and fail: what their event says, as JSON, or '' (`settle.lua`)
-- Reply  'no_queue' | 'superseded' | {verdict, now_ms, left, next_due_ms or '', version,
--        paused, lease_ms, settled, claims, suspect, suspects_left, cancelling,
--        ahead, head}
--        verdict: 'ok' | 'replayed'
--        left:    entries that this caller could take now
--        settled: two for each settle: answer (ok | already | stale | gone), state
--        claims:  eight for each: id, token, attempt, crashes, arrived_ms, due_ms or '',
--                 waited_ms, body
--        suspect: the token of the claim that is one, or ''
--        suspects_left: suspects that wait, whoever may take them
--        cancelling: tokens of this incarnation whose task is to be cancelled (R17)
--        ahead: how many of the claims, the last ones, were claimed ahead
--        head:  when the task that goes next arrived, and when it is due or ''; else empty
-- Keeps  I3 (tokens: R1, R3), I4, I5, and R2: a number that was answered before claims nothing
--        new, a lower one does nothing at all.
-- include queue places clock tally histogram tell finish

local queue, worker, incarnation, lane = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if not string.find(ARGV[7], '^%d+$') then error('a call has a whole number') end
local seq, want = tonumber(ARGV[7]), math.min(tonumber(ARGV[8]) or 0, 250)
local ahead = math.min(tonumber(ARGV[11]) or 0, 250 - want)
local suspects = ARGV[10] == '1' and 1 or 0
local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'lease_ms', 'sla_ms', 'ladder',
  'max_attempts', 'base_ms', 'cap_ms', 'window_ms', 'max_payload_bytes', 'max_crashes',
  'clock_stood', 'clock_stopped', 'late', 'max_wait_ms')
if not config[1] then return 'no_queue' end
set_clock(config[12], config[13])
local lanes, due_at = check_types()
local paused = config[2] == '1'
local lease = lease_of(ARGV[9], config[3])
local max_crashes = tonumber(config[11]) or 3
local policy = {
  sla = tonumber(config[4]), ladder = config[5], max_attempts = tonumber(config[6]),
  base = tonumber(config[7]), cap = tonumber(config[8]), window = tonumber(config[9]),
  max_result = tonumber(config[10]), expire_late = config[14] == 'expire',
  max_wait = tonumber(config[15]),
  -- A task with so many crashes, which one more would fail, may be what kills its workers (R15).
  -- With a limit of one crash every task would be.
  suspect_at = math.max(max_crashes - 1, 1),
}

local lane_key = NORMAL .. ':lane:' .. incarnation .. ':' .. lane
local record = redis.call('GET', lane_key)
local last_seq, last_to_start, last_ids = 0, 0, ''
if record then
  local head, to_start, ids = string.match(record, '^(%d+) (%d+) ?(.*)$')
  last_seq, last_to_start, last_ids = tonumber(head), tonumber(to_start), ids
end
if seq < last_seq then return 'superseded' end
local replayed = seq == last_seq
local token_stem = incarnation .. '-' .. lane .. '-' .. ARGV[7] .. '.'

local cancelling = redis.pcall('SRANDMEMBER', NORMAL .. ':cancelling:' .. incarnation, 250)
if cancelling.err then cancelling = {} end

local settled = {}
if ARGV[13] then
  -- include open lease front settle
  local settles = read_settles(13)
  begin_draining()
  settled = write_settles(settles, worker, policy)
  lanes.express = lanes.express + #released
  if tallied.retried then due_at = next_due() end -- a retry may be due at once
else
  begin_draining()
end
if due_at and tonumber(due_at) <= NOW then
  -- include promote
  -- As many as this call and the next one can take: were all of a crowd that is due at one instant
  -- promoted first, nobody would begin before.
  promote(math.max(25, 2 * (want + ahead) - lanes.normal - lanes.express), policy.window)
  lanes, due_at = count_lanes(), next_due()
end

-- Tasks say when they arrived and what was promised; that gives when they are due.
local function due_of(id, arrived, sla)
  sla = tonumber(sla)
  return arrived and sla and arrived + sla + grace_of(id) or ''
end

local taken = { claims = {}, ids = {}, to_start = 0, suspect = '', others_wanted = false }
if replayed then
  -- include replay
  claim_again(taken, last_ids, last_to_start, token_stem, lease, policy)
elseif not paused and want + ahead > 0
  and lanes.normal + lanes.express + lanes.suspects > 0 then
  -- Where one crash is the end, a task must not be charged for what it had no part in.
  if max_crashes < 2 then ahead = 0 end
  -- include ladder case adopt claim
  claim(taken, lanes, want, ahead, suspects, token_stem, worker, queue, lease, policy)
end
if not replayed then
  redis.call('SET', lane_key,
    ARGV[7] .. ' ' .. taken.to_start .. ' ' .. table.concat(taken.ids, ' '),
    'PX', math.max(60000, 2 * lease))
end
write_ended()
count_observed()
write_tally()

-- A suspect is rung for when it came or others stay behind it, not at each call of somebody who
-- may not take it.
local left = lanes.normal + lanes.express
if not paused and (left > 0 or (taken.others_wanted and lanes.suspects > 0)) then
  ring()
elseif not silent and left + lanes.suspects == 0 then
  -- A token that lies there would wake somebody for nothing; whoever brings something rings anew.
  redis.call('DEL', BELL)
end
if suspects > 0 and taken.suspect == '' then left = left + lanes.suspects end
local head = {}
if ARGV[12] == '1' and left > 0 then
  -- include head
  head = look_at_head(due_of)
end
return { replayed and 'replayed' or 'ok', NOW, left, due_at or '', tonumber(config[1]),
  paused and 1 or 0, lease, settled, taken.claims, taken.suspect, lanes.suspects, cancelling,
  #taken.claims / 8 - taken.to_start, head }
