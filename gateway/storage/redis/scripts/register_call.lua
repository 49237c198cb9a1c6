-- Store a new call. KEYS: its hash {json, version: token of the last change, recent: tokens of the last few,
-- created: token of its registration, sid: Jambonz call_sid}. ARGV: prefix, call id, call_sid ("" for none),
-- direction, start (ms since epoch), JSON, token, deadline ("" for never), feed entry, how many calls may
-- be active in all and in this direction ("" for any number), id of the call whose call_sid this call takes
-- over ("").
-- Returns {1 if the call is new, number of active calls, call id, token, JSON} of the stored call, or, if as
-- many are active as may be, {0, number of active calls, '', '', number in this direction}.
local prefix, call_id, call_sid, direction, start, json, token, deadline, feed_entry, max_total,
  max_direction, replaces = unpack(ARGV)
local stored = redis.call('HMGET', KEYS[1], 'version', 'json', 'created')
local stored_id = call_id
if not stored[1] and call_sid ~= '' then
  local other = redis.call('GET', prefix .. 'sid:' .. call_sid)
  if other and other ~= replaces then
    stored = redis.call('HMGET', prefix .. 'call:' .. other, 'version', 'json', 'created')
    stored_id = other
  end
end
if stored[1] then
  -- With the same token it is the same request: Redis' first reply was lost.
  local is_new = stored[3] == token and 1 or 0
  return {is_new, redis.call('ZCARD', prefix .. 'active'), stored_id, stored[1], stored[2]}
end
local total = redis.call('ZCARD', prefix .. 'active')
local same_direction = redis.call('ZCARD', prefix .. 'active:' .. direction)
if (max_total ~= '' and total >= tonumber(max_total))
  or (max_direction ~= '' and same_direction >= tonumber(max_direction)) then
  return {0, total, '', '', tostring(same_direction)}
end
redis.call('HSET', KEYS[1], 'json', json, 'version', token, 'created', token, 'sid', call_sid)
if call_sid ~= '' then redis.call('SET', prefix .. 'sid:' .. call_sid, call_id) end
redis.call('ZADD', prefix .. 'all', start, call_id)
redis.call('ZADD', prefix .. 'active', start, call_id)
redis.call('ZADD', prefix .. 'active:' .. direction, start, call_id)
redis.call('SETNX', prefix .. 'since', start)
if deadline ~= '' then redis.call('ZADD', prefix .. 'due', deadline, call_id) end
redis.call('XADD', prefix .. 'feed', 'MAXLEN', '~', 10000, '*', 'json', feed_entry)
return {1, redis.call('ZCARD', prefix .. 'active'), call_id, token, json}
