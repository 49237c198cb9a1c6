-- Whether it is this gateway's turn to watch. KEYS: the turn. ARGV: prefix, who, ms it lasts.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
