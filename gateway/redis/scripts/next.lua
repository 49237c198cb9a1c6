-- What is next in a chain, after one delivery is over. A chain that is not empty has exactly one
-- stream entry: so both end in one step.
-- KEYS: the chain. ARGV: prefix, call_id, stream entry, group, delivery id that is over ("" at
-- first), its json. Answers the next delivery's json; nil once the chain is done with.
local p, deliveries = ARGV[1], ARGV[1] .. 'deliveries:' .. ARGV[2]
if ARGV[5] ~= '' then
  if redis.call('HEXISTS', deliveries, ARGV[5]) == 1 then
    redis.call('HSET', deliveries, ARGV[5], ARGV[6])
  end
  if redis.call('LINDEX', KEYS[1], 0) == ARGV[5] then
    redis.call('LPOP', KEYS[1])
    redis.call('DECR', p .. 'pending')
  end
end
local id = redis.call('LINDEX', KEYS[1], 0)
while id do
  local json = redis.call('HGET', deliveries, id)
  if json then return json end
  redis.call('LPOP', KEYS[1]) -- its record has gone: nothing is left to deliver
  redis.call('DECR', p .. 'pending')
  id = redis.call('LINDEX', KEYS[1], 0)
end
redis.call('XACK', p .. 'outbox', ARGV[4], ARGV[3])
redis.call('XDEL', p .. 'outbox', ARGV[3])
return false
