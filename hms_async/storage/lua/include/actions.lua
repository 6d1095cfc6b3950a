-- What waits to be carried out, and what was given up: id -> when it is due (again), and when that
-- was. What each says is in `:action:<id>`. Needs queue.

local ACTIONS = NORMAL .. ':actions'
local DEAD_ACTIONS = ACTIONS .. ':dead'

local function action_key(id) return NORMAL .. ':action:' .. id end
