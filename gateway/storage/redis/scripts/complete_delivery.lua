-- What is next in a chain, after one delivery is over. A chain that is not empty has exactly one
-- stream entry: so both end in one step, and only who holds the entry changes the chain.
-- KEYS: the chain. ARGV: prefix, call_id, stream entry, group, consumer, delivery id that is over
-- ("" at first), its json. Answers the next delivery's json; nil once the chain is done with, or is
-- somebody else's.
local p, deliveries = ARGV[1], ARGV[1] .. 'deliveries:' .. ARGV[2]
local held = redis.pcall('XPENDING', p .. 'outbox', ARGV[4], ARGV[3], ARGV[3], 1)[1]
if not held or held[2] ~= ARGV[5] then return false end
if ARGV[6] ~= '' then
  if redis.call('HEXISTS', deliveries, ARGV[6]) == 1 then
    redis.call('HSET', deliveries, ARGV[6], ARGV[7])
  end
  if redis.call('LINDEX', KEYS[1], 0) == ARGV[6] then
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
if redis.call('EXISTS', p .. 'call:' .. ARGV[2]) == 0 then
  -- The call was dropped before; so are its deliveries, unless another chain has some to go.
  for _, other in ipairs(redis.call('HKEYS', deliveries)) do
    local place = string.match(other, '_([^_]*)$')
    if redis.call('EXISTS', p .. 'chain:' .. ARGV[2] .. ':' .. place) == 1 then return false end
  end
  redis.call('DEL', deliveries)
end
return false
