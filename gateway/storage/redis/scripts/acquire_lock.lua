-- Take or renew a lock. KEYS: the lock. ARGV: prefix, owner, ms until it expires.
-- Returns 0 if another owner holds it, else 1.
local _, owner, lock_ms = unpack(ARGV)
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= owner then return 0 end
redis.call('SET', KEYS[1], owner, 'PX', lock_ms)
return 1
