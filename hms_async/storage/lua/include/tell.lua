-- Events of tasks. Needs queue, places.

-- What happened to tasks, up to ten an entry: one for each would cost more than all the rest of
-- their end. `write_told` tells what is left of it when the call ends.
local TOLD_TOGETHER = 10
local told = {}

local function announce_tasks(kind, news)
  local several = #news.ids > 1
  local entry = { 'type', kind }
  local function add(name, value) entry[#entry + 1], entry[#entry + 2] = name, value end
  if several then add('ids', table.concat(news.ids, ' ')) else add('id', news.ids[1]) end
  if news.in_cases and several then
    add('corrs', cjson.encode(news.corrs))
  elseif news.in_cases then
    add('corr', news.corrs[1])
  end
  if news.say_more and several then
    add('abouts', '[' .. table.concat(news.abouts, ',') .. ']')
  elseif news.say_more then
    add('about', news.abouts[1])
  end
  announce(unpack(entry))
end

-- `about` is JSON text, or nothing: what the event says beside who it is about. It is put together
-- here, and decoded by whoever reads it.
local function tell(kind, id, corr, about)
  local news = told[kind]
  if not news then
    news = { ids = {}, corrs = {}, abouts = {} }
    told[kind] = news
  end
  local n = #news.ids + 1
  news.ids[n], news.corrs[n], news.abouts[n] = id, corr or '', about or 'null'
  if corr then news.in_cases = true end
  if about then news.say_more = true end
  if n == TOLD_TOGETHER then
    announce_tasks(kind, news)
    told[kind] = nil
  end
end

local function write_told()
  for kind, news in pairs(told) do announce_tasks(kind, news) end
end
