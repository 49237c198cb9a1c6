-- End the claim of calls for the history. KEYS: the unsaved calls. ARGV: prefix, the claim's lease, "1" if they are
-- saved, else "": they may be claimed again at once; call ids. A call that has changed since stays unsaved.
local prefix, lease, is_saved = unpack(ARGV, 1, 3)
for i = 4, #ARGV do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) == tonumber(lease) then
    if is_saved == '1' then redis.call('ZREM', KEYS[1], ARGV[i]) else redis.call('ZADD', KEYS[1], 0, ARGV[i]) end
  end
end
