-- Tells that a node lives, or is about to end, and who else lives.
--
-- KEYS     1  the registry (string): for each node 16 bytes of id and the instant after which it
--             is forgotten (6 bytes, ms since 1970)
-- ARGV     1  the node's id (16 bytes)
--          2  how long it is counted from now on (ms); 0 if it is about to end
-- Result   the ids of all nodes that live, 16 bytes each, one after the other (string)
--
-- Holds    A registry that cannot be read is replaced by one of this node alone. No node but the
--          one that calls is ever kept longer than it asked for. One write, the last step. The key
--          expires with the last node. At most 10000 nodes are kept, the one that calls first.
-- Cost     O(nodes), 22 bytes each

local up, pk = struct.unpack, struct.pack

local time = redis.call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
local me, ttl = ARGV[1], tonumber(ARGV[2])

local entries, ids, latest = {}, {}, 0
if ttl > 0 then
  latest = now + ttl
  entries[1], ids[1] = me .. pk('>I6', latest), me
end

local stored = redis.pcall('GET', KEYS[1])
if type(stored) == 'string' and #stored % 22 == 0 then
  for at = 1, math.min(#stored, 22 * 9999), 22 do
    local node, until_ms = string.sub(stored, at, at + 15), up('>I6', stored, at + 16)
    if node ~= me and until_ms > now then
      latest = math.max(latest, until_ms)
      entries[#entries + 1], ids[#ids + 1] = string.sub(stored, at, at + 21), node
    end
  end
end

if latest > 0 then
  redis.call('SET', KEYS[1], table.concat(entries), 'PXAT', latest)
else
  redis.call('SET', KEYS[1], '', 'PX', 1)
end
return table.concat(ids)
