-- The calls of idempotency keys. KEYS: the first key's record. ARGV: prefix, the other keys' records.
-- Returns the call id of each, false for a key that is free.
local call_ids = {redis.call('HGET', KEYS[1], 'call_id')}
for i = 2, #ARGV do call_ids[i] = redis.call('HGET', ARGV[i], 'call_id') end
return call_ids
