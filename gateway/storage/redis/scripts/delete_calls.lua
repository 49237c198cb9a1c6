-- Delete ended calls with their callbacks, delivered or not, and the live feed, which may tell of them.
-- KEYS: any key. ARGV: prefix, call ids. Returns how many were deleted: a call that is active stays.
local prefix, number = ARGV[1], 0
for i = 2, #ARGV do
  local call_id = ARGV[i]
  local call = prefix .. 'call:' .. call_id
  if redis.call('EXISTS', call) == 1 and not redis.call('ZSCORE', prefix .. 'active', call_id) then
    local sid_key = prefix .. 'sid:' .. (redis.call('HGET', call, 'sid') or '')
    if redis.call('GET', sid_key) == call_id then redis.call('DEL', sid_key) end
    redis.call('DEL', call, prefix .. 'deliveries:' .. call_id)
    for _, index in ipairs({'all', 'due', 'ended', 'unsaved'}) do redis.call('ZREM', prefix .. index, call_id) end
    number = number + 1
  end
end
if number > 0 then redis.call('XTRIM', prefix .. 'feed', 'MAXLEN', 0) end
return number
