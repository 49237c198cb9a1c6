-- Put an advanced call in the place of the one it was made of, with all that follows from it.
-- KEYS: the call's hash. ARGV: prefix, call_id, token of the change it was made of, token, json,
-- due ("" for never), direction, ended ("1"), end moment once analyzed (""), event id (""),
-- ms to remember that, feed entry (""), callbacks that may wait, then three a callback: id, chain, json.
-- Answers {'ok', callbacks dropped} | {'stale', token, json} | {'again', token, json} | {'gone'}.
-- Tokens instead of numbers: a call that was lost and made anew is never taken for the one it was.
local p, call_id = ARGV[1], ARGV[2]
local kept = redis.call('HMGET', KEYS[1], 'o', 'j', 'm')
if not kept[1] then return {'gone'} end
-- Made before, whatever others have made of it since: only its answer was lost.
local made = kept[3] or ' '
if string.find(made, ' ' .. ARGV[4] .. ' ', 1, true) then return {'ok', 0} end
if ARGV[10] ~= '' and redis.call('EXISTS', p .. 'event:' .. ARGV[10]) == 1 then
  return {'again', kept[1], kept[2]}
end
if kept[1] ~= ARGV[3] then return {'stale', kept[1], kept[2]} end
redis.call('HSET', KEYS[1], 'j', ARGV[5], 'o', ARGV[4], 'm', string.sub(made .. ARGV[4] .. ' ', -400))
if ARGV[6] == '' then
  redis.call('ZREM', p .. 'due', call_id)
else
  redis.call('ZADD', p .. 'due', ARGV[6], call_id)
end
if ARGV[8] == '1' then
  redis.call('ZREM', p .. 'active', call_id)
  redis.call('ZREM', p .. 'active:' .. ARGV[7], call_id)
end
if ARGV[9] ~= '' then redis.call('ZADD', p .. 'ended', ARGV[9], call_id) end
if ARGV[10] ~= '' then redis.call('SET', p .. 'event:' .. ARGV[10], '', 'PX', ARGV[11]) end
if ARGV[12] ~= '' then redis.call('XADD', p .. 'feed', 'MAXLEN', '~', 10000, '*', 'e', ARGV[12]) end
local dropped = 0
local deliveries = p .. 'deliveries:' .. call_id
for i = 14, #ARGV, 3 do
  if redis.call('HEXISTS', deliveries, ARGV[i]) == 0 then
    if tonumber(redis.call('GET', p .. 'pending') or 0) >= tonumber(ARGV[13]) then
      dropped = dropped + 1
    else
      redis.call('HSET', deliveries, ARGV[i], ARGV[i + 2])
      redis.call('INCR', p .. 'pending')
      if redis.call('RPUSH', p .. 'chain:' .. ARGV[i + 1], ARGV[i]) == 1 then
        redis.call('XADD', p .. 'outbox', '*', 'chain', ARGV[i + 1])
      end
    end
  end
end
return {'ok', dropped}
