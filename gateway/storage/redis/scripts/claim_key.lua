-- Whose a request with an idempotency key is. KEYS: the key's hash {f, c, r}. ARGV: prefix, lease key,
-- who, fingerprint, call id for a first one, ms to remember, ms that the lease lasts.
-- Answers {'first'} | {'left', fingerprint, call id} (whoever made it is gone) | {'known', fingerprint,
-- call id, outcome ("" while it is being made)}.
local kept = redis.call('HMGET', KEYS[1], 'f', 'c', 'r')
if not kept[1] then
  redis.call('HSET', KEYS[1], 'f', ARGV[4], 'c', ARGV[5], 'r', '')
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
  redis.call('SET', ARGV[2], ARGV[3], 'PX', ARGV[7])
  return {'first'}
end
if kept[3] == '' and kept[1] == ARGV[4] then
  local is_ours = redis.call('GET', ARGV[2]) == ARGV[3] -- this very request, its answer was lost
  if is_ours or redis.call('SET', ARGV[2], ARGV[3], 'NX', 'PX', ARGV[7]) then
    return {'left', kept[1], kept[2]}
  end
end
return {'known', kept[1], kept[2], kept[3]}
