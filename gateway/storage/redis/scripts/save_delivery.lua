-- What was tried of a delivery so far. KEYS: the call's deliveries. ARGV: prefix, delivery id, json.
-- One that has gone meanwhile is not made anew: nothing would ever drop it.
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
