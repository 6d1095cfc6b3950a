-- One look at a queue; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms
-- Reply  'no_queue' | {now_ms, paused, sla_ms or '', waiting, in_progress, scheduled, retrying,
--        done, failed, cancelled, expired, oldest_arrived_ms or '', next_due_ms or '',
--        next_rung_ms or '', totals as field, value, ..., at_risk, breached, clock_stopped_ms or '',
--        actions that wait to be carried out, those given up}
-- Keeps  I8: constant work, however long the queue.
-- include queue places clock actions line stats

local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'sla_ms', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[4], config[5])
return read_stats(config[2], config[3], count_line(), (look_at_heads()))
