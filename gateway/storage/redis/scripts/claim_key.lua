-- Claim an idempotency key for a request. KEYS: the key's record {fingerprint, call_id, outcome ("" until
-- the call is created)}. ARGV: prefix, lease key, owner of the lease, fingerprint, call id for a new
-- record, ms until the record expires, ms until the lease expires.
-- Returns {'new'} (the request creates the call) | {'abandoned', fingerprint, call id, ''} (it finishes what a
-- dead gateway began) | {'taken', fingerprint, call id, outcome}.
local _, lease, owner, fingerprint, call_id, ttl, lease_ms = unpack(ARGV)
local stored = redis.call('HMGET', KEYS[1], 'fingerprint', 'call_id', 'outcome')
if not stored[1] then
  redis.call('HSET', KEYS[1], 'fingerprint', fingerprint, 'call_id', call_id, 'outcome', '')
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('SET', lease, owner, 'PX', lease_ms)
  return {'new'}
end
if stored[3] == '' and stored[1] == fingerprint then
  -- The owner repeats its claim if Redis' first reply was lost.
  local is_owner = redis.call('GET', lease) == owner
  if is_owner or redis.call('SET', lease, owner, 'NX', 'PX', lease_ms) then
    return {'abandoned', stored[1], stored[2], ''}
  end
end
return {'taken', stored[1], stored[2], stored[3]}
