-- Renew the leases of one worker in one queue (heartbeat).
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 lease_ms, or '' for the queue's
--        then pairs: id, token
-- Reply  {lost, cancelling}: the tokens whose lease is lost, and those whose lease lives but whose
--        task is to be cancelled (R17); one that runs for longer than its run time-out is lost
-- Keeps  I3: only the live token renews; a late one does too, as long as nobody has
--        reclaimed the task (R3). The last lost one takes its crash back (R16).
-- include queue places open lease

local config = redis.call('HMGET', CONFIG, 'lease_ms', 'run_timeout_ms')
local lease, run_timeout = lease_of(ARGV[3], config[1] or 30000), tonumber(config[2])
redis.call('ZCARD', INFLIGHT)
local OVERRUN_MS = 10000
local lost, kept, cancelling, alive = {}, {}, {}, {}
for i = 4, #ARGV, 2 do
  local id, token = ARGV[i], ARGV[i + 1]
  local run = redis.pcall('HMGET', run_key(id), 'state', 'token', 'queue', 'cancel', 'lost_token',
    'started', 'run_timeout')
  -- Its worker should have ended it by itself; a while is left for that.
  local longest = tonumber(run[7]) or run_timeout
  local overrun = longest and NOW > (tonumber(run[6]) or NOW) + longest + OVERRUN_MS
  if not run.err and run[1] == 'in_progress' and run[3] == QUEUE and token ~= ''
    and run[2] == token and not overrun then
    kept[#kept + 1] = NOW + lease
    kept[#kept + 1] = id
    if run[4] then cancelling[#cancelling + 1] = token end
  else
    lost[#lost + 1] = token
    if not run.err and run[3] == QUEUE and not overrun then alive[#alive + 1] = { id, run[1], run[5], token } end
  end
end
begin_draining()
-- Not XX: an entry that was lost with its record intact comes back.
call_in_slices('ZADD', INFLIGHT, kept)
for _, one in ipairs(alive) do take_back_crash(unpack(one)) end
return { lost, cancelling }
