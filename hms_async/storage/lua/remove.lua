-- Take a queue out of service, so that its keys can be cleared in steps.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 word: begin | reopen | close | forget   4 id of the operation
--        5 of close: '1' to give up what is still open
-- Reply  'no_queue' | 'ok' | of reopen: 'closed', too late | of close: {waiting, in_progress, scheduled, retrying, messages that
--        wait, messages that were given up, '1' when it is closed}
-- Keeps  I2: `close` looks whether anything is open and takes the settings away in one step, so no
--        task is accepted in between; what is given up is told. `begin` takes no more tasks, and
--        lets those that are there come to their end. Until `forget` nobody can create the queue
--        anew: its keys would be cleared with those of the old one.
-- include queue places actions

local word, operation = ARGV[3], ARGV[4]
local config = redis.call('HMGET', CONFIG, 'version', 'removing')
local ours = config[2] == operation
if word == 'forget' then
  if ours and not config[1] then redis.call('DEL', CONFIG) end
  return 'ok'
end
if word == 'reopen' then
  if ours and not config[1] then return 'closed' end
  if ours then redis.call('HDEL', CONFIG, 'removing') end
  return 'ok'
end
if not config[1] then
  if word == 'close' and ours then return { 0, 0, 0, 0, 0, 0, '1' } end
  return 'no_queue'
end
if word == 'begin' then
  begin_draining()
  redis.call('HSET', CONFIG, 'removing', operation)
  return 'ok'
end

local waiting = math.max(count_entries() - count_left_behind(), 0)
local open = { waiting, redis.call('ZCARD', INFLIGHT), redis.call('ZCARD', SCHEDULED),
  redis.call('ZCARD', RETRY), redis.call('ZCARD', ACTIONS) }
local is_open = false
for _, number in ipairs(open) do is_open = is_open or number > 0 end
open[6] = redis.call('ZCARD', DEAD_ACTIONS)
if is_open and ARGV[5] ~= '1' then
  open[7] = ''
  return open
end
redis.call('DEL', CONFIG)
redis.call('HSET', CONFIG, 'removing', operation)
open[7] = '1'
return open
