-- The call that has a Jambonz call_sid. KEYS: the sid's. ARGV: prefix. Answers its json, or nil.
local call_id = redis.call('GET', KEYS[1])
return call_id and redis.call('HGET', ARGV[1] .. 'call:' .. call_id, 'j')
