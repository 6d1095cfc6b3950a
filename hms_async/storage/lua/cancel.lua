-- Cancel a task: at once where no worker holds it, else by asking the one who does.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id
-- Reply  'ok' | 'asked' | 'gone' | the state that does not allow it
-- Keeps  I1, R4, R17: see include/cancel.lua.
-- include queue open tally clock finish lease cancel

local id = ARGV[3]
local config = redis.call('HMGET', CONFIG, 'version', 'window_ms', 'clock_stood', 'clock_stopped')
local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'due', 'sla', 'key', 'corr',
  'accepted', 'queue', 'token', 'cancel')
if run.err or not run[1] or not config[1] or run[8] ~= QUEUE then return 'gone' end
if not OPEN[run[1]] then return run[1] end
set_clock(config[3], config[4])
check_types()
begin_draining()
local word = cancel_task(id, { state = run[1], arrived = run[2], due = run[3], sla = run[4],
  key = run[5], corr = run[6], accepted = run[7], token = run[9], cancel = run[10] },
  tonumber(config[2]))
write_ended()
write_tally()
return word
