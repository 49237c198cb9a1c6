-- A delivery that was over is to be tried once more. KEYS: its chain. ARGV: prefix, call_id,
-- delivery id, json, the json it was made of. Answers 1 if it was still that.
local deliveries = ARGV[1] .. 'deliveries:' .. ARGV[2]
if redis.call('HGET', deliveries, ARGV[3]) ~= ARGV[5] then return 0 end
redis.call('HSET', deliveries, ARGV[3], ARGV[4])
redis.call('INCR', ARGV[1] .. 'pending')
if redis.call('RPUSH', KEYS[1], ARGV[3]) == 1 then
  redis.call('XADD', ARGV[1] .. 'outbox', '*', 'chain', ARGV[6])
end
return 1
