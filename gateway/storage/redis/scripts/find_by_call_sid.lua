-- The call with a Jambonz call_sid. KEYS: the call_sid's key. ARGV: prefix. Returns the call's JSON, or nil.
local call_id = redis.call('GET', KEYS[1])
return call_id and redis.call('HGET', ARGV[1] .. 'call:' .. call_id, 'json')
