-- Reset the idle time of stream entries that this consumer delivers. KEYS: the stream. ARGV: prefix, group,
-- consumer, entry ids. Returns the entries that another consumer has claimed. An entry that no consumer
-- has is complete, or Redis has lost its data: then this consumer is the only one that delivers it.
local claimed = {}
for i = 4, #ARGV do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[2], ARGV[i], ARGV[i], 1)[1]
  if pending and pending[2] == ARGV[3] then
    redis.call('XCLAIM', KEYS[1], ARGV[2], ARGV[3], 0, ARGV[i], 'JUSTID')
  elseif pending then
    claimed[#claimed + 1] = ARGV[i]
  end
end
return claimed
