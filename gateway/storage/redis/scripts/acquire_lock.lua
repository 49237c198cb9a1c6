-- Whether something is this one's: taken if it is nobody's, kept if it was. KEYS: the turn.
-- ARGV: prefix, who, ms it lasts.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
