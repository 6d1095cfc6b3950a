-- Pause a queue, or let it go on.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 '1' to pause, '0' to resume   4 reason
-- Reply  'no_queue' | 'ok' | 'already'
-- Keeps  R12: resuming rings for what waits. Tasks in progress go on either way.
-- include queue places

local config = redis.call('HMGET', CONFIG, 'version', 'paused')
if not config[1] then return 'no_queue' end
if (config[2] or '0') == ARGV[3] then return 'already' end
check_types()
begin_draining() -- an operator can pause a queue of a full server
redis.call('HSET', CONFIG, 'paused', ARGV[3], 'reason', ARGV[4])
announce('type', ARGV[3] == '1' and 'paused' or 'resumed', 'reason', ARGV[4])
if ARGV[3] == '0' then ring() end
return 'ok'
