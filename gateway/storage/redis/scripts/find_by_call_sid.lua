-- The call with a Jambonz call_sid. KEYS: the call_sid's key. ARGV: prefix.
-- Returns {call id, token of the last change, JSON}, or nil.
local call_id = redis.call('GET', KEYS[1])
if not call_id then return false end
local stored = redis.call('HMGET', ARGV[1] .. 'call:' .. call_id, 'version', 'json')
return stored[1] and {call_id, stored[1], stored[2]}
