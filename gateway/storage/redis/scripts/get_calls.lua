-- Several calls. KEYS: any key. ARGV: prefix, call ids. Returns the JSON of each, false if it is not stored.
local calls = {}
for i = 2, #ARGV do calls[i - 1] = redis.call('HGET', ARGV[1] .. 'call:' .. ARGV[i], 'json') end
return calls
