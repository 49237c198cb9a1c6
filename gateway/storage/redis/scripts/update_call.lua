-- Replace a call by its next version, with everything that the change causes: indexes, feed, callbacks.
-- KEYS: the call's hash. ARGV: prefix, call id, token of the version that was changed, token of this change,
-- JSON, deadline ("" for never), direction, "1" if ended, end in ms since epoch once its report is settled
-- (else ""), event id (""), ms until that expires, feed entry (""), how many callbacks may be pending, ms until the
-- history saves an ended call ("" without a history), then four per callback: delivery id, chain, host, JSON. A host may have as many pending as are left for all others.
-- Returns {'ok', callbacks dropped} | {'stored', token, JSON} (this change was stored before, and Redis' reply was
-- lost) | {'stale', token, JSON} (another change came first) | {'repeated', token, JSON} (the event was applied
-- before) | {'missing'}.
-- Tokens are unique, unlike version numbers: a call that was lost and registered again is another call.
local prefix, call_id, based_on, token, json, deadline, direction, has_ended, settled_end, event_id, event_ms,
  feed_entry, max_pending, settle_ms = unpack(ARGV, 1, 14)
local FIRST_DELIVERY = 15
local stored = redis.call('HMGET', KEYS[1], 'version', 'json', 'recent')
if not stored[1] then return {'missing'} end
local recent = stored[3] or ' '
if string.find(recent, ' ' .. token .. ' ', 1, true) then return {'stored', stored[1], stored[2]} end
if event_id ~= '' and redis.call('EXISTS', prefix .. 'event:' .. event_id) == 1 then
  return {'repeated', stored[1], stored[2]}
end
if stored[1] ~= based_on then return {'stale', stored[1], stored[2]} end
recent = string.sub(recent .. token .. ' ', -800)
redis.call('HSET', KEYS[1], 'json', json, 'version', token, 'recent', recent)
if deadline == '' then
  redis.call('ZREM', prefix .. 'due', call_id)
else
  redis.call('ZADD', prefix .. 'due', deadline, call_id)
end
if has_ended == '1' then
  redis.call('ZREM', prefix .. 'active', call_id)
  redis.call('ZREM', prefix .. 'active:' .. direction, call_id)
  if settle_ms ~= '' then
    local time = redis.call('TIME')
    redis.call('ZADD', prefix .. 'unsaved', time[1] * 1000 + math.floor(time[2] / 1000) + settle_ms, call_id)
  end
end
if settled_end ~= '' then redis.call('ZADD', prefix .. 'ended', settled_end, call_id) end
if event_id ~= '' then redis.call('SET', prefix .. 'event:' .. event_id, '', 'PX', event_ms) end
if feed_entry ~= '' then
  redis.call('XADD', prefix .. 'feed', 'MAXLEN', '~', 10000, '*', 'json', feed_entry)
end
local dropped = 0
local deliveries = prefix .. 'deliveries:' .. call_id
local pending, pending_by_host = prefix .. 'pending', prefix .. 'pending_by_host'
for i = FIRST_DELIVERY, #ARGV, 4 do
  local delivery_id, chain, host, delivery = unpack(ARGV, i, i + 3)
  if redis.call('HEXISTS', deliveries, delivery_id) == 0 then
    local left = tonumber(max_pending) - tonumber(redis.call('GET', pending) or 0)
    if tonumber(redis.call('HGET', pending_by_host, host) or 0) >= left then
      dropped = dropped + 1
    else
      redis.call('HSET', deliveries, delivery_id, delivery)
      redis.call('INCR', pending)
      redis.call('HINCRBY', pending_by_host, host, 1)
      if redis.call('RPUSH', prefix .. 'chain:' .. chain, delivery_id) == 1 then
        redis.call('XADD', prefix .. 'outbox', '*', 'chain', chain, 'host', host)
      end
    end
  end
end
return {'ok', dropped}
