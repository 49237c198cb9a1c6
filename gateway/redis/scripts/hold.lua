-- Go on holding the stream entries that are still ours. KEYS: the stream. ARGV: prefix, group,
-- consumer, entry ids. Answers those that somebody else has taken over.
local lost = {}
for i = 4, #ARGV do
  local owner = redis.call('XPENDING', KEYS[1], ARGV[2], ARGV[i], ARGV[i], 1)[1]
  if owner and owner[2] == ARGV[3] then
    redis.call('XCLAIM', KEYS[1], ARGV[2], ARGV[3], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
