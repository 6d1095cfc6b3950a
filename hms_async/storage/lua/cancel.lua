-- Cancel a task: at once where no worker holds it, else by asking the one who does.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 id
--        4 who, or '' when it is no operator's act   5 via   6 reason
--        7 '1' to leave alone what a worker holds
-- Reply  'ok' | 'asked' | 'gone' | the state that does not allow it
-- Keeps  I1, R4, R17: see include/cancel.lua.
-- include queue places clock open tally histogram tell finish lease cancel audit

local id = ARGV[3]
local config = redis.call('HMGET', CONFIG, 'version', 'window_ms', 'clock_stood', 'clock_stopped')
local run = redis.pcall('HMGET', run_key(id), 'state', 'arrived', 'sla', 'key', 'corr', 'accepted',
  'queue', 'token', 'cancel')
if run.err or not run[1] or not config[1] or run[7] ~= QUEUE then return 'gone' end
if not OPEN[run[1]] or (ARGV[7] == '1' and run[1] == 'in_progress') then return run[1] end
set_clock(config[3], config[4])
-- Its record says who wants it and why: who looks at a task does not search the audit for it.
local said = {}
for _, one in ipairs({ { 'cancel_by', ARGV[4] }, { 'cancel_reason', ARGV[6] } }) do
  if one[2] and one[2] ~= '' then
    said[#said + 1] = one[1]
    said[#said + 1] = in_short(one[2])
  end
end
check_types()
check_audit(AUDIT)
begin_draining()
local word = cancel_task(id, { state = run[1], arrived = run[2], sla = run[3], key = run[4],
  corr = run[5], accepted = run[6], token = run[8], cancel = run[9] }, tonumber(config[2]),
  unpack(said))
write_ended()
count_observed()
write_tally()
-- To ask its holder a second time changes nothing.
if word == 'ok' or not run[9] then
  audit(AUDIT, ARGV[4], ARGV[5], ARGV[6], 'cancel', 'task', id, 'was', run[1], 'outcome',
    word == 'ok' and 'cancelled' or 'asked')
end
return word
