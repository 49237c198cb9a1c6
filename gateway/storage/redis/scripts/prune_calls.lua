-- Drop ended calls that have expired, and the oldest ones if there are too many. KEYS: the ended calls.
-- ARGV: prefix, ms since epoch: calls that ended before expire, how many ended calls to store, how many to
-- drop at most, ms until callbacks that are still pending expire, how many calls to store on that the history does
-- not have yet. Returns the ids of the dropped calls.
local prefix, expired_before, max_ended, batch, pending_ms, max_unsaved = unpack(ARGV)
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', expired_before, 'LIMIT', 0, batch)
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(max_ended)
if surplus > #expired then
  expired = redis.call('ZRANGE', KEYS[1], 0, math.min(surplus, tonumber(batch)) - 1)
end
local unsaved, dropped = redis.call('ZCARD', prefix .. 'unsaved'), {}
for _, call_id in ipairs(expired) do
  local is_unsaved = redis.call('ZSCORE', prefix .. 'unsaved', call_id)
  if not is_unsaved or unsaved > tonumber(max_unsaved) then
    table.insert(dropped, call_id)
    if is_unsaved then
      unsaved = unsaved - 1
      redis.call('ZREM', prefix .. 'unsaved', call_id)
      redis.call('INCR', prefix .. 'unsaved_lost')
    end
  end
end
for _, call_id in ipairs(dropped) do
  local call = prefix .. 'call:' .. call_id
  local call_sid = redis.call('HGET', call, 'sid')
  local sid_key = prefix .. 'sid:' .. (call_sid or '')
  if redis.call('GET', sid_key) == call_id then redis.call('DEL', sid_key) end  -- else a later call has it
  redis.call('DEL', call)
  redis.call('ZREM', prefix .. 'all', call_id)
  redis.call('ZREM', prefix .. 'due', call_id)
  redis.call('ZREM', KEYS[1], call_id)
  local deliveries, is_pending = prefix .. 'deliveries:' .. call_id, false
  for _, id in ipairs(redis.call('HKEYS', deliveries)) do
    local receiver = string.match(id, '_([^_]*)$')
    is_pending = is_pending or redis.call('EXISTS', prefix .. 'chain:' .. call_id .. ':' .. receiver) == 1
  end
  if is_pending then redis.call('PEXPIRE', deliveries, pending_ms) else redis.call('DEL', deliveries) end
end
return dropped
