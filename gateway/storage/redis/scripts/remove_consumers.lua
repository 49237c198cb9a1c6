-- Forget readers that are gone and hold nothing. KEYS: the stream. ARGV: prefix, group, ms of silence.
for _, told in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[2])) do
  local reader = {}
  for i = 1, #told, 2 do reader[told[i]] = told[i + 1] end
  if reader.pending == 0 and reader.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[2], reader.name)
  end
end
