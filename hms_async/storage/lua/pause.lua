-- Pause a queue, or let it go on; its clock may stand still meanwhile (R18).
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 '1' to pause, '0' to resume   4 reason
--        5 whether the clock stops: '1', '0', or '' for the queue's choice
--        6 who, or '' when it is no operator's act   7 via
-- Reply  'no_queue' | 'ok' | 'already'
-- Keeps  R12: resuming rings for what waits. Tasks in progress go on either way.
-- include queue places audit

local pause = ARGV[3] == '1'
local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'pause_stops_clock', 'clock_stood',
  'clock_stopped')
if not config[1] then return 'no_queue' end
local paused, stopped = config[2] == '1', tonumber(config[5])
local stops = pause and (ARGV[5] == '1' or (ARGV[5] ~= '0' and config[3] == '1'))
if paused == pause and (not pause or ARGV[5] == '' or stops == (stopped ~= nil)) then
  return 'already'
end
check_types()
check_audit(AUDIT)
begin_draining() -- an operator can pause a queue of a full server
if stopped and not stops then
  local stood = (tonumber(config[4]) or 0) + math.max(NOW - stopped, 0)
  redis.call('HSET', CONFIG, 'clock_stood', string.format('%.0f', stood), 'clock_stopped', '')
elseif stops and not stopped then
  redis.call('HSET', CONFIG, 'clock_stopped', NOW)
end
redis.call('HSET', CONFIG, 'paused', ARGV[3], 'reason', pause and ARGV[4] or '',
  'paused_by', pause and in_short(ARGV[6]) or '', 'paused_ms', pause and NOW or '')
announce('type', pause and 'paused' or 'resumed', 'reason', ARGV[4], 'clock',
  stops and 'stopped' or 'runs')
if not pause then ring() end
audit(AUDIT, ARGV[6], ARGV[7], ARGV[4], pause and 'pause' or 'resume', 'clock',
  stops and 'stopped' or 'runs')
return 'ok'
