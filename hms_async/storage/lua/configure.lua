-- Create a queue, or change its settings.
--
-- KEYS   1 queue:<q>
-- ARGV   1 task prefix   2 now_ms   3 who, or '' when it is no operator's act   4 via   5 reason
--        then pairs: field, value
-- Reply  {'created' | 'changed' | 'same', version} | 'removing': its keys are being cleared
-- Keeps  a version that grows with each change, and with nothing else; the names of the settings
--        that an operator changed are in the audit, not their values: some are secret.
-- include queue places audit

local old = redis.call('HGETALL', CONFIG)
local settings = {}
for i = 1, #old, 2 do settings[old[i]] = old[i + 1] end
if settings.removing then return 'removing' end
check_types()
check_audit(AUDIT)
local version = tonumber(settings.version or 0)
local verdict, changes = version == 0 and 'created' or 'same', {}
for i = 6, #ARGV, 2 do
  if settings[ARGV[i]] ~= ARGV[i + 1] and version > 0 then
    verdict = 'changed'
    changes[#changes + 1] = ARGV[i]
  end
end
if verdict == 'same' then return { verdict, version } end
redis.call('HSET', CONFIG, 'version', version + 1, unpack(ARGV, 6))
audit(AUDIT, ARGV[3], ARGV[4], ARGV[5], 'configure', 'outcome', verdict, 'version', version + 1,
  'changed', table.concat(changes, ' '))
return { verdict, version + 1 }
