-- Puts a node's summary of the most limited keys in place of its last one.
--
-- KEYS     1  the summaries (string): for each node its id (16 bytes), the length of its summary
--             (4 bytes), and so many bytes
-- ARGV     1  the node's id (16 bytes)
--          2  its summary
--          3  how long all of them are kept from now on (ms)
-- Result   'A' (string)
--
-- Holds    The other nodes' summaries stay as they are. What cannot be read is left out. At most 1000
--          are kept, the one of the node that calls first. One write, the last step.
-- Cost     O(nodes)

local up, pk, sub = struct.unpack, struct.pack, string.sub

local me, summary = ARGV[1], ARGV[2]
local kept = { me .. pk('>I4', #summary) .. summary }

local stored = redis.pcall('GET', KEYS[1])
if type(stored) == 'string' then
  local at = 1
  while at + 19 <= #stored and #kept < 1000 do
    local behind = at + 20 + up('>I4', stored, at + 16)
    if behind > #stored + 1 then
      break
    end
    if sub(stored, at, at + 15) ~= me then
      kept[#kept + 1] = sub(stored, at, behind - 1)
    end
    at = behind
  end
end

redis.call('SET', KEYS[1], table.concat(kept), 'PX', ARGV[3])
return 'A'
