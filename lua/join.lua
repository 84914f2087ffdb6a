-- Takes up the state of one tag, and makes it where there is none.
--
-- KEYS     1  state id of the tag (string; JSON {"state_id", "log_id", "tags"}, no expiry)
-- ARGV     1  the state id to store if there is none (string, the same JSON)
-- Result   the state id that is stored now (string)
--
-- Holds    A stored state id is never replaced. Safe to repeat.
-- Cost     O(1)

local stored = redis.call('GET', KEYS[1])
if stored then
  return stored
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
