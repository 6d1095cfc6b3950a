-- Which supervisors there are: whoever has tidied up lately, name -> when. They are counted by this,
-- as they send nothing more. Needs queue.

local SUPERVISORS = NORMAL .. ':supervisors'
local LATELY_MS = 75000 -- two rounds, and half a one
local MOST_SUPERVISORS = 100
