-- Remove consumers that are gone and have no pending entries. KEYS: the stream.
-- ARGV: prefix, group, ms of idleness after which a consumer counts as gone.
for _, reply in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[2])) do
  local consumer = {}
  for i = 1, #reply, 2 do consumer[reply[i]] = reply[i + 1] end
  if consumer.pending == 0 and consumer.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[2], consumer.name)
  end
end
