-- Become the leader or stay it, and tell the others the leader's time: by how much it differs from Redis' own.
-- KEYS: the lock. ARGV: prefix, owner, ms until the lock expires, the owner's time (ms since epoch), ms until
-- the difference is forgotten. Returns {1 if the owner is the leader, else 0, the leader's time}.
local prefix, owner, lock_ms, now, clock_ms = unpack(ARGV)
local clock = prefix .. 'clock'
local time = redis.call('TIME')
local redis_now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local holder, difference = redis.call('GET', KEYS[1]), redis.call('GET', clock)
-- The next leader goes on with the time of the last one: calls have it.
local leader_now = tonumber(now)
if holder ~= owner and difference then leader_now = redis_now + tonumber(difference) end
if holder and holder ~= owner then return {0, leader_now} end
redis.call('SET', KEYS[1], owner, 'PX', lock_ms)
redis.call('SET', clock, string.format('%.0f', leader_now - redis_now), 'PX', clock_ms)
return {1, leader_now}
