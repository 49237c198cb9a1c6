-- Move a call's record that cannot be read out of the way, to the newest of `unreadable`, and forget the call.
-- KEYS: the call's hash. ARGV: prefix, call id, token of the version that cannot be read, how many records to
-- keep there, ms until the call's callbacks expire. Does nothing if the call has changed meanwhile.
local prefix, call_id, version, kept, callbacks_ms = unpack(ARGV)
local stored = redis.call('HMGET', KEYS[1], 'version', 'json', 'sid')
if stored[1] ~= version then return end
redis.call('LPUSH', prefix .. 'unreadable', call_id .. ' ' .. (stored[2] or ''))
redis.call('LTRIM', prefix .. 'unreadable', 0, kept - 1)
if stored[3] and stored[3] ~= '' then redis.call('DEL', prefix .. 'sid:' .. stored[3]) end
for _, index in ipairs({'all', 'active', 'active:inbound', 'active:outbound', 'due', 'ended'}) do
  redis.call('ZREM', prefix .. index, call_id)
end
redis.call('PEXPIRE', prefix .. 'deliveries:' .. call_id, callbacks_ms)
redis.call('DEL', KEYS[1])
