-- Cancel an open task, wherever it is. Needs queue, tally, finish, lease.
--
-- A lane is never searched: the record changes, one entry is counted as stale, and the next claim
-- drops it (R4). A task in progress is only asked for: done and failed come before that, any other
-- end of the lease makes it cancelled (R17).

-- `task` is what `finish` takes, with state, token, and cancel: since when it is asked for.
-- Further arguments are fields for the record. Returns 'ok' or 'asked'.
local function cancel_task(id, task, window, ...)
  if task.state == 'in_progress' then
    if not task.cancel then
      local told = cancelling_key(task.token or '')
      redis.call('SADD', told, task.token or '')
      -- It is emptied when the leases end; this is for a process that never comes back.
      redis.call('PEXPIRE', told, 86400000)
      redis.call('HSET', run_key(id), 'cancel', NOW, ...)
      tell('cancelling', id, task.corr)
    end
    return 'asked'
  end
  finish(id, 'cancelled', task, window, ...)
  if task.state == 'waiting' then
    count_stale(1)
  else
    redis.call('ZREM', task.state == 'scheduled' and SCHEDULED or RETRY, id)
  end
  return 'ok'
end
