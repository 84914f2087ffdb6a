-- Adds counts of decisions to what is kept of each key, once.
--
-- KEYS     1  the number of the last batch of this node (string)
--          then two for each row: its key's counts by minute, and by hour (strings): the byte 1, then
--             entries, oldest first: number of the minute or hour since 1970 (4 bytes), decisions
--             allowed, limited, denied (6 bytes each), tokens charged (7 bytes)
-- ARGV     1  the number of this batch, which rises with each batch of a node
--          2  how long that number is remembered (ms)
--          then one for each row: what is to be added, an entry by minute
-- Result   'A' (string)
--
-- Holds    A batch whose number is not above the last one's changes nothing: it was added before. All
--          is read before the first write, and the number is written first: counts may be lost, and
--          are never added twice. A record that cannot be read is replaced. What lies ahead of Redis'
--          clock counts for now; what is older than is kept is left out. At most 60 minutes and 24
--          hours are kept of a key, and records expire when the last of them is over.
-- Cost     O(rows), 29 bytes for each entry; two reads and two writes a row

local up, pk, sub, min = struct.unpack, struct.pack, string.sub, math.min

local FORM, ENTRY = '>I4I6I6I6I7', 29
local COUNT_MAX, COST_MAX = 2 ^ 48 - 1, 2 ^ 53 - 1
local MINUTES, HOURS = 60, 24
-- As text: the server is slow to write out numbers of Lua's.
local MINUTES_MS, HOURS_MS = '3600000', '86400000'

-- What is no string is read as nothing. One command, as each costs more than what it reads.
local stored = redis.call('MGET', unpack(KEYS))
if stored[1] and (tonumber(stored[1]) or 0) >= tonumber(ARGV[1]) then
  return 'A'
end

local time = redis.call('TIME')
local this_minute = (time[1] - time[1] % 60) / 60
local this_hour = (this_minute - this_minute % 60) / 60

local records = {}

local function record(place)
  local known = records[KEYS[place]] or stored[place]
  if not known or #known % ENTRY ~= 1 or sub(known, 1, 1) ~= '\1' then
    return '\1'
  end
  return known
end

-- Adds to the entry of a slot of the record at that place of KEYS, and leaves out those before `oldest`.
local function add(place, slot, oldest, allowed, limited, denied, cost)
  local stored = record(place)
  local first, behind = 2, #stored + 1
  while first < behind and up('>I4', stored, first) < oldest do
    first = first + ENTRY
  end
  while behind > first and up('>I4', stored, behind - ENTRY) > slot do
    behind = behind - ENTRY
  end
  local before = behind
  if behind > first and up('>I4', stored, behind - ENTRY) == slot then
    before = behind - ENTRY
    local _, a, l, d, c = up(FORM, stored, before)
    allowed, limited, denied, cost = allowed + a, limited + l, denied + d, cost + c
  end
  local entry = pk(FORM, slot, min(allowed, COUNT_MAX), min(limited, COUNT_MAX), min(denied, COUNT_MAX), min(cost, COST_MAX))
  records[KEYS[place]] = '\1' .. sub(stored, first, before - 1) .. entry .. sub(stored, behind)
end

for row = 3, #ARGV do
  local minute, allowed, limited, denied, cost = up(FORM, ARGV[row])
  minute = min(minute, this_minute)
  local hour = (minute - minute % 60) / 60
  if minute > this_minute - MINUTES then
    add(row * 2 - 4, minute, this_minute - MINUTES + 1, allowed, limited, denied, cost)
  end
  if hour > this_hour - HOURS then
    add(row * 2 - 3, hour, this_hour - HOURS + 1, allowed, limited, denied, cost)
  end
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for place = 2, #KEYS do
  local key = KEYS[place]
  if records[key] then
    redis.call('SET', key, records[key], 'PX', place % 2 == 0 and MINUTES_MS or HOURS_MS)
    records[key] = nil
  end
end
return 'A'
