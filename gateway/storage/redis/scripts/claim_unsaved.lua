-- Claim ended calls that the history does not have yet. KEYS: the unsaved calls, by the time (ms since epoch) from
-- which they may be claimed. ARGV: prefix, how many to claim, ms until another gateway may claim them, "" to claim
-- also those that have just changed (else "1").
-- Returns {revision (µs since epoch), lease, how many are unsaved, how many were lost, call id, JSON (''),
-- number of deliveries, each of them, call id, …}. By Redis' clock, for all gateways.
local prefix, limit, lease_ms, settled_only = unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = now + lease_ms
local due = settled_only == '' and '+inf' or now
local claimed = {}
for _, call_id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', due, 'LIMIT', 0, limit)) do
  local json = redis.call('HGET', prefix .. 'call:' .. call_id, 'json')
  local deliveries = redis.call('HVALS', prefix .. 'deliveries:' .. call_id)
  if json or #deliveries > 0 then
    redis.call('ZADD', KEYS[1], lease, call_id)
    table.insert(claimed, call_id)
    table.insert(claimed, json or '')
    table.insert(claimed, #deliveries)
    for _, delivery in ipairs(deliveries) do table.insert(claimed, delivery) end
  else
    redis.call('ZREM', KEYS[1], call_id)
    redis.call('INCR', prefix .. 'unsaved_lost')
  end
end
local revision = string.format('%.0f', time[1] * 1000000 + time[2])
local lost = redis.call('GET', prefix .. 'unsaved_lost') or 0
return {revision, lease, redis.call('ZCARD', KEYS[1]), tonumber(lost), unpack(claimed)}
