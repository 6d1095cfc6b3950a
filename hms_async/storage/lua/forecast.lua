-- What a forecast is made from; reads only.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 how many waiting tasks to look at
-- Reply  'no_queue' | {now_ms, paused, waiting, in_progress, served, over_ms,
--        sample: two for each: position among those that wait, due_ms or '', what was told last,
--        '1' if the queue's clock stands still}
-- Keeps  I8: a bounded sample, however long the queue.
-- include queue places clock pace line backlog

local config = redis.call('HMGET', CONFIG, 'version', 'paused', 'clock_stood', 'clock_stopped')
if not config[1] then return 'no_queue' end
set_clock(config[3], config[4])
return read_backlog(config[2], count_line(), tonumber(ARGV[3]))
