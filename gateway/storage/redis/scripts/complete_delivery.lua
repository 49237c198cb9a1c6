-- Complete a delivery and get the next one of its chain. A chain that is not empty has exactly one stream
-- entry: both end in one step, and only the consumer that has the entry changes the chain.
-- KEYS: the chain. ARGV: prefix, call id, stream entry, group, consumer, id of the completed delivery ("" at
-- first), its JSON ("" sets its record, which cannot be read, aside). Returns {id, JSON} of the next delivery; nil if the chain is complete or
-- another consumer has claimed the entry.
local prefix, call_id, entry, group, consumer, completed, json = unpack(ARGV)
local stream, pending = prefix .. 'outbox', prefix .. 'pending'
local deliveries = prefix .. 'deliveries:' .. call_id
local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)[1]
if not held or held[2] ~= consumer then return false end
if completed ~= '' then
  if json == '' then
    local unreadable = redis.call('HGET', deliveries, completed)
    if unreadable then
      redis.call('LPUSH', prefix .. 'unreadable', completed .. ' ' .. unreadable)
      redis.call('LTRIM', prefix .. 'unreadable', 0, 999)
    end
    redis.call('HDEL', deliveries, completed)
  elseif redis.call('HEXISTS', deliveries, completed) == 1 then
    redis.call('HSET', deliveries, completed, json)
  end
  if redis.call('LINDEX', KEYS[1], 0) == completed then
    redis.call('LPOP', KEYS[1])
    redis.call('DECR', pending)
  end
end
local id = redis.call('LINDEX', KEYS[1], 0)
while id do
  local next_json = redis.call('HGET', deliveries, id)
  if next_json then return {id, next_json} end
  redis.call('LPOP', KEYS[1]) -- its record was dropped: nothing is left to deliver
  redis.call('DECR', pending)
  id = redis.call('LINDEX', KEYS[1], 0)
end
redis.call('XACK', stream, group, entry)
redis.call('XDEL', stream, entry)
if redis.call('EXISTS', prefix .. 'call:' .. call_id) == 0 then
  -- The call was pruned before: drop its deliveries too, unless another chain still delivers some.
  for _, other in ipairs(redis.call('HKEYS', deliveries)) do
    local receiver = string.match(other, '_([^_]*)$')
    if redis.call('EXISTS', prefix .. 'chain:' .. call_id .. ':' .. receiver) == 1 then return false end
  end
  redis.call('DEL', deliveries)
end
return false
