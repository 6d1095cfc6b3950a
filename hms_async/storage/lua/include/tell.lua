-- Events of tasks. Needs queue, places.

-- What happened to tasks, up to ten an entry: one for each would cost more than all the rest of
-- their end. `write_told` tells what is left of it when the call ends.
local TOLD_TOGETHER = 10
local told = {}

local function announce_tasks(kind, news)
  local ids, corrs = news.ids, news.corrs
  if #ids > 1 then
    ids = table.concat(ids, ' ')
    if news.in_cases then
      announce('type', kind, 'ids', ids, 'corrs', cjson.encode(corrs))
    else
      announce('type', kind, 'ids', ids)
    end
  elseif news.in_cases then
    announce('type', kind, 'id', ids[1], 'corr', corrs[1])
  else
    announce('type', kind, 'id', ids[1])
  end
end

local function tell(kind, id, corr)
  local news = told[kind]
  if not news then
    news = { ids = {}, corrs = {} }
    told[kind] = news
  end
  local n = #news.ids + 1
  news.ids[n], news.corrs[n] = id, corr or ''
  if corr then news.in_cases = true end
  if n == TOLD_TOGETHER then
    announce_tasks(kind, news)
    told[kind] = nil
  end
end

local function write_told()
  for kind, news in pairs(told) do announce_tasks(kind, news) end
end
