-- Give up what only its holder may give up. KEYS: the key. ARGV: prefix, who.
if redis.call('GET', KEYS[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end
