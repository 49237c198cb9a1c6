-- Queue a delivered or failed delivery again. KEYS: its chain. ARGV: prefix, call id, delivery id, new JSON,
-- the JSON that the new one was made of, chain, host. Returns 0 if the delivery has changed meanwhile, else 1.
local prefix, call_id, delivery_id, json, expected, chain, host = unpack(ARGV)
local deliveries = prefix .. 'deliveries:' .. call_id
if redis.call('HGET', deliveries, delivery_id) ~= expected then return 0 end
redis.call('HSET', deliveries, delivery_id, json)
redis.call('INCR', prefix .. 'pending')
redis.call('HINCRBY', prefix .. 'pending_by_host', host, 1)
if redis.call('RPUSH', KEYS[1], delivery_id) == 1 then
  redis.call('XADD', prefix .. 'outbox', '*', 'chain', chain, 'host', host)
end
return 1
