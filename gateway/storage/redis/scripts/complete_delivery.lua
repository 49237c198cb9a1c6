-- Complete a delivery and get the next one of its chain. A chain that is not empty has exactly one stream
-- entry: both end in one step, and only the consumer that has the entry changes the chain.
-- KEYS: the chain. ARGV: prefix, call id, stream entry, group, consumer, host, id of the completed delivery (""
-- at first), its JSON ("" sets its record, which cannot be read, aside), how many records to set aside, ms until the
-- history saves the outcome ("" without a history). Returns {id, JSON} of the next delivery; nil if the chain is complete or another consumer has claimed the entry.
local prefix, call_id, entry, group, consumer, host, completed, json, max_set_aside, settle_ms = unpack(ARGV)
local stream = prefix .. 'outbox'
local deliveries = prefix .. 'deliveries:' .. call_id

local function shift()
  redis.call('LPOP', KEYS[1])
  local pending_by_host = prefix .. 'pending_by_host'
  -- A gateway of another version may have counted only one of both: they agree again at 0.
  if redis.call('DECR', prefix .. 'pending') <= 0 then
    redis.call('DEL', pending_by_host)
  elseif redis.call('HINCRBY', pending_by_host, host, -1) <= 0 then
    redis.call('HDEL', pending_by_host, host)
  end
end

local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)[1]
if not held or held[2] ~= consumer then return false end
if completed ~= '' then
  if json == '' then
    local unreadable = redis.call('HGET', deliveries, completed)
    if unreadable then
      redis.call('LPUSH', prefix .. 'unreadable', completed .. ' ' .. unreadable)
      redis.call('LTRIM', prefix .. 'unreadable', 0, max_set_aside - 1)
    end
    redis.call('HDEL', deliveries, completed)
  elseif redis.call('HEXISTS', deliveries, completed) == 1 then
    redis.call('HSET', deliveries, completed, json)
  end
  if redis.call('LINDEX', KEYS[1], 0) == completed then shift() end
  if settle_ms ~= '' and not redis.call('ZSCORE', prefix .. 'active', call_id) then
    local time = redis.call('TIME')
    redis.call('ZADD', prefix .. 'unsaved', time[1] * 1000 + math.floor(time[2] / 1000) + settle_ms, call_id)
  end
end
local id = redis.call('LINDEX', KEYS[1], 0)
while id do
  local next_json = redis.call('HGET', deliveries, id)
  if next_json then return {id, next_json} end
  shift() -- its record was dropped: nothing is left to deliver
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
  if settle_ms == '' then redis.call('DEL', deliveries) else redis.call('PEXPIRE', deliveries, 3600000) end
end
return false
