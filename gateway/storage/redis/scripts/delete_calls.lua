-- Delete ended calls with their callbacks, delivered or not, and the live feed, which may tell of them.
-- KEYS: any key. ARGV: prefix, call ids. A call that is active stays.
local prefix, is_deleted = ARGV[1], false
for i = 2, #ARGV do
  local call_id = ARGV[i]
  local call = prefix .. 'call:' .. call_id
  if redis.call('EXISTS', call) == 1 and not redis.call('ZSCORE', prefix .. 'active', call_id) then
    local sid_key = prefix .. 'sid:' .. (redis.call('HGET', call, 'sid') or '')
    if redis.call('GET', sid_key) == call_id then redis.call('DEL', sid_key) end
    redis.call('DEL', call, prefix .. 'deliveries:' .. call_id)
    for _, index in ipairs({'all', 'due', 'ended', 'unsaved'}) do redis.call('ZREM', prefix .. index, call_id) end
    is_deleted = true
  end
end
if is_deleted then redis.call('XTRIM', prefix .. 'feed', 'MAXLEN', 0) end
