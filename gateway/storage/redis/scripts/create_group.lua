-- Create the consumer group, and with it the stream, unless it exists. KEYS: the stream.
-- ARGV: prefix, group.
local created = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
if created.err and not string.find(created.err, 'BUSYGROUP', 1, true) then return created end
return 1
