-- Keep a new call. KEYS: its hash {j: json, o: token of the last change, m: of the last few, a: of its
-- adding, s: call_sid}. ARGV: prefix, call_id, call_sid, direction, start, json, token, due ("" for never),
-- feed entry.
-- Answers {is new, active calls, token, json}; the last two are of the call that is kept.
local p, call_id, call_sid = ARGV[1], ARGV[2], ARGV[3]
local known = redis.call('HMGET', KEYS[1], 'o', 'j', 'a')
if not known[1] and call_sid ~= '' then
  local other = redis.call('GET', p .. 'sid:' .. call_sid)
  if other then known = redis.call('HMGET', p .. 'call:' .. other, 'o', 'j', 'a') end
end
if known[1] then
  -- With our own token it is this very request, whose answer was lost.
  local is_new = known[3] == ARGV[7] and 1 or 0
  return {is_new, redis.call('ZCARD', p .. 'active'), known[1], known[2]}
end
redis.call('HSET', KEYS[1], 'j', ARGV[6], 'o', ARGV[7], 'a', ARGV[7], 's', call_sid)
if call_sid ~= '' then redis.call('SET', p .. 'sid:' .. call_sid, call_id) end
redis.call('ZADD', p .. 'all', ARGV[5], call_id)
redis.call('ZADD', p .. 'active', ARGV[5], call_id)
redis.call('ZADD', p .. 'active:' .. ARGV[4], ARGV[5], call_id)
redis.call('SETNX', p .. 'since', ARGV[5])
if ARGV[8] ~= '' then redis.call('ZADD', p .. 'due', ARGV[8], call_id) end
redis.call('XADD', p .. 'feed', 'MAXLEN', '~', 10000, '*', 'e', ARGV[9])
return {1, redis.call('ZCARD', p .. 'active'), ARGV[7], ARGV[6]}
