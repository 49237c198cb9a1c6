-- Drop calls that ended and were reported long enough ago, or are too many.
-- KEYS: the ended ones. ARGV: prefix, ended before, how many may be kept, how many to drop at most,
-- ms that what still waits of their callbacks is kept. Answers the ids dropped.
local p, most = ARGV[1], tonumber(ARGV[4])
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, most)
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
if surplus > #gone then gone = redis.call('ZRANGE', KEYS[1], 0, math.min(surplus, most) - 1) end
for _, call_id in ipairs(gone) do
  local call = p .. 'call:' .. call_id
  local sid = redis.call('HGET', call, 's')
  if sid and sid ~= '' then redis.call('DEL', p .. 'sid:' .. sid) end
  redis.call('DEL', call)
  redis.call('ZREM', p .. 'all', call_id)
  redis.call('ZREM', p .. 'due', call_id)
  redis.call('ZREM', KEYS[1], call_id)
  local deliveries, wait = p .. 'deliveries:' .. call_id, false
  for _, id in ipairs(redis.call('HKEYS', deliveries)) do
    local place = string.match(id, '_([^_]*)$')
    wait = wait or redis.call('EXISTS', p .. 'chain:' .. call_id .. ':' .. place) == 1
  end
  if wait then redis.call('PEXPIRE', deliveries, ARGV[5]) else redis.call('DEL', deliveries) end
end
return gone
