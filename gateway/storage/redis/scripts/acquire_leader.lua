-- Become the leader or stay it, and tell the others the leader's time.
-- KEYS: the lock. ARGV: prefix, owner, ms until the lock expires, the owner's time (ms since epoch).
-- Returns {1 if the owner is the leader, else 0, the leader's time when it last told it}.
local prefix, owner, lock_ms, now = unpack(ARGV)
local clock = prefix .. 'clock'
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= owner then return {0, tonumber(redis.call('GET', clock) or now)} end
-- Time does not go back with the leader: a clock was set back, and calls have later times.
if not holder then now = math.max(now, tonumber(redis.call('GET', clock) or 0)) end
redis.call('SET', KEYS[1], owner, 'PX', lock_ms)
redis.call('SET', clock, string.format('%.0f', now))
return {1, tonumber(now)}
