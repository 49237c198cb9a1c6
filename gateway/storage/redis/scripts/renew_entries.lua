-- Go on holding the stream entries that are still ours. KEYS: the stream. ARGV: prefix, group,
-- consumer, entry ids. Answers those that somebody else has taken over. One that is nobody's is
-- either done with, or was lost with all of Redis' data: then only we know of it.
local lost = {}
for i = 4, #ARGV do
  local held = redis.call('XPENDING', KEYS[1], ARGV[2], ARGV[i], ARGV[i], 1)[1]
  if held and held[2] == ARGV[3] then
    redis.call('XCLAIM', KEYS[1], ARGV[2], ARGV[3], 0, ARGV[i], 'JUSTID')
  elseif held then
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
