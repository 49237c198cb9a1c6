-- Release a lock if this owner holds it. KEYS: the lock. ARGV: prefix, owner.
if redis.call('GET', KEYS[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end
