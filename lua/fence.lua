-- Raises the fence of one subject: stops everyone who knows older rules.
--
-- KEYS     1  state id of the subject's tag (string)
--          2  the subject's record (string, as in decide.lua)
--          3  generation of the subject's last reset (string, decimal; expires)
-- ARGV     1  what the asker takes the state id to be (string)
--          2  generation, the change's position in the change log (whole number below 2^53)
--          3  1 if the subject is revoked from now on, else 0
--          4  1 if its buckets become full, else 0
--          5  how long the fence must be kept (ms)
-- Result   'A' raised | 'X' lost: the state id is another, nothing was done
--
-- Holds    A fence never falls: generation and end only rise, and a revoked mark stays. Slices that
--          are out stay counted, whatever becomes of the buckets. A reset is
--          done once, also where newer fences came before it; none is that is older than the last.
--          A record that cannot be read, or a key of another type, is replaced: the subject has a
--          fence again, and full buckets.
--          Safe to repeat. One write, the last step: an error means that nothing was done. A reset
--          has another one after it, which notes that it was done.
-- Cost     O(buckets), at most 8.

local up, pk = struct.unpack, struct.pack

-- The clock. (The model test replaces these two lines by a clock of its own.)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 'X'
end

local generation, flags, fence_end = tonumber(ARGV[2]), tonumber(ARGV[3]), (now - now % 1000) / 1000 + tonumber(ARGV[5])
local n, buckets, expires = 0, '', 0
local asked, ends = generation, fence_end

local resets = ARGV[4] ~= '0'
if resets then
  local done = redis.pcall('GET', KEYS[3])
  resets = type(done) ~= 'string' or (tonumber(done) or 0) < asked
end

local slices = ''
local value = redis.pcall('GET', KEYS[2])
if type(value) == 'string' and #value >= 16 then
  local version, stored_flags, count, stored_generation, stored_end = up('>BBBI7I6', value)
  local behind = 17 + 22 * count
  local felt = 0
  if version == 1 and stored_flags >= 16 and stored_flags <= 17 and #value == behind + 13 then
    local epoch, current, previous, quiet = up('>I5I3I3B', value, behind)
    slices, stored_flags, felt = string.sub(value, behind), stored_flags - 16, current + previous > 0 and 600000 or 0
    expires = (epoch + math.max(quiet, 2)) * 200
  end
  if version == 1 and stored_flags <= 1 and count <= 8 and #value == behind - 1 + #slices then
    if not resets then
      n, buckets = count, string.sub(value, 17, behind - 1)
    end
    generation = math.max(generation, stored_generation)
    flags = math.max(flags, stored_flags)
    fence_end = math.max(fence_end, stored_end)
    for bucket = 1, n do
      local seconds, arrival = up('>I3I7', value, 3 + 22 * bucket)
      local grain = seconds * 125000
      arrival = arrival + felt
      expires = math.max(expires, (arrival - arrival % grain + grain) / 1000)
    end
  else
    slices, expires = '', 0
  end
end

expires = math.max(expires, fence_end)
local head = pk('>BBBI7I6', 1, flags + (slices ~= '' and 16 or 0), n, generation, fence_end)
redis.call('SET', KEYS[2], head .. buckets .. slices, 'PXAT', expires)
if resets then
  redis.call('SET', KEYS[3], string.format('%.0f', asked), 'PXAT', ends)
end
return 'A'
