-- The states of a task that has not ended.
local OPEN = { scheduled = true, waiting = true, in_progress = true, retrying = true }
