-- Store the attempts made so far. KEYS: the call's deliveries. ARGV: prefix, delivery id, JSON.
-- A delivery that was dropped meanwhile is not stored again: nothing would drop it a second time.
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
