-- Make the consumer group, and with it the stream, unless it is there. KEYS: the stream.
-- ARGV: prefix, group.
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
return 1
