-- Store the outcome of a request with an idempotency key. KEYS: the key's record. ARGV: prefix, lease key,
-- owner, call id, outcome ("" drops the key). Does nothing if another request holds the lease.
local _, lease, owner, call_id, outcome = unpack(ARGV)
local holder = redis.call('GET', lease)
if holder and holder ~= owner then return end
if redis.call('HGET', KEYS[1], 'call_id') == call_id then
  if outcome == '' then
    redis.call('DEL', KEYS[1])
  else
    redis.call('HSET', KEYS[1], 'outcome', outcome)
  end
end
redis.call('DEL', lease)
