-- Events of tasks. Needs queue, places.

-- What happened to tasks, up to ten an entry: one for each would cost more than all the rest of
-- their end. `write_told` tells what is left of it when the call ends.
local TOLD_TOGETHER = 10
local told = {}

-- What only some tasks have: the others get `nothing` in its place.
local function for_each(news, values, nothing)
  for i = 1, #news.ids do values[i] = values[i] or nothing end
  return values
end

local function announce_tasks(kind, news)
  local several, corrs, abouts = #news.ids > 1, news.corrs, news.abouts
  local entry = { 'type', kind, several and 'ids' or 'id', table.concat(news.ids, ' ') }
  local function add(name, value) entry[#entry + 1], entry[#entry + 2] = name, value end
  if corrs and several then
    add('corrs', cjson.encode(for_each(news, corrs, '')))
  elseif corrs then
    add('corr', corrs[1])
  end
  if abouts and several then
    add('abouts', '[' .. table.concat(for_each(news, abouts, 'null'), ',') .. ']')
  elseif abouts then
    add('about', abouts[1])
  end
  announce(unpack(entry))
end

-- `about` is JSON text, or nothing: what the event says beside who it is about. It is put together
-- here, and decoded by whoever reads it.
local function tell(kind, id, corr, about)
  local news = told[kind]
  if not news then
    news = { ids = {} }
    told[kind] = news
  end
  local ids = news.ids
  local n = #ids + 1
  ids[n] = id
  if corr then
    news.corrs = news.corrs or {}
    news.corrs[n] = corr
  end
  if about then
    news.abouts = news.abouts or {}
    news.abouts[n] = about
  end
  if n == TOLD_TOGETHER then
    announce_tasks(kind, news)
    told[kind] = nil
  end
end

local function write_told()
  for kind, news in pairs(told) do announce_tasks(kind, news) end
end
