-- Several calls. KEYS: any. ARGV: prefix, call ids. Answers their jsons, false for those not kept.
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGET', ARGV[1] .. 'call:' .. ARGV[i], 'j') end
return found
