-- What came of a request with an idempotency key. KEYS: the key's hash. ARGV: prefix, lease key, who,
-- call id, outcome ("": forget the key). Only who holds the lease, or held it last, may say so.
local holder = redis.call('GET', ARGV[2])
if holder and holder ~= ARGV[3] then return end
if redis.call('HGET', KEYS[1], 'c') == ARGV[4] then
  if ARGV[5] == '' then
    redis.call('DEL', KEYS[1])
  else
    redis.call('HSET', KEYS[1], 'r', ARGV[5])
  end
end
redis.call('DEL', ARGV[2])
