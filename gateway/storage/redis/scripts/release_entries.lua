-- Leave all that a reader holds to the others, as if it had just come, and forget the reader.
-- KEYS: the stream. ARGV: prefix, group, consumer. Answers how many entries there were.
local held = redis.call('XPENDING', KEYS[1], ARGV[2], '-', '+', 1000000, ARGV[3])
for _, each in ipairs(held) do
  local entry = redis.call('XRANGE', KEYS[1], each[1], each[1])[1]
  redis.call('XACK', KEYS[1], ARGV[2], each[1])
  if entry then
    redis.call('XDEL', KEYS[1], each[1])
    redis.call('XADD', KEYS[1], '*', unpack(entry[2]))
  end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[2], ARGV[3])
return #held
