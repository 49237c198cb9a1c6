-- Return a consumer's pending entries to the stream as new ones, and remove the consumer.
-- KEYS: the stream. ARGV: prefix, group, consumer. Returns the number of entries.
local _, group, consumer = unpack(ARGV)
local pending = redis.call('XPENDING', KEYS[1], group, '-', '+', 1000000, consumer)
for _, summary in ipairs(pending) do
  local id = summary[1]
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  redis.call('XACK', KEYS[1], group, id)
  if entry then
    redis.call('XDEL', KEYS[1], id)
    redis.call('XADD', KEYS[1], '*', unpack(entry[2]))
  end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], group, consumer)
return #pending
