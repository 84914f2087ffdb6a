-- Raises the fence of one subject: stops everyone who knows older rules.
--
-- KEYS     1  state id of the subject's tag (string)
--          2  the subject's record (string, as in decide.lua)
--          3  generation of the subject's last reset (string, decimal; expires)
--          4  the record of the owner that places the subject, read only (string; need not be there)
-- ARGV     1  what the asker takes the state id to be (string)
--          2  generation, the change's position in the change log (whole number below 2^53)
--          3  1 if the subject is revoked from now on, else 0
--          4  1 if its buckets become full, else 0
--          5  how long the fence must be kept (ms)
-- Result   'A' raised, and behind it for how long slices that nodes took under older rules may still be
--          spent, us (at most 400000; a slice is noted in a record only if it has buckets, so the owner's
--          counts too) | 'X' lost: the state id is another, nothing was done
--
-- Holds    A fence never falls: generation and end only rise, and a revoked mark stays. Slices that
--          are out stay counted, and a reset fills buckets as far as they allow. It is done once,
--          also where newer fences came before it; none is that is older than the last.
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

-- A bucket that is as full as slices let it be, but no further from it than they may hold it; '' if it
-- is full.
local function filled(bucket, out)
  local name, burst, seconds, t, f = up('>I4I4I3I7I4', bucket)
  local tokens = math.min(out, (burst - burst % 20) / 20)
  local period = seconds * 1000000
  local part = period % burst
  local rest = tokens * part % burst
  local whole = now + tokens * ((period - part) / burst) + (tokens * part - rest) / burst
  if whole > t + 600000 or (whole == t + 600000 and rest > f) then
    whole, rest = t + 600000, f
  end
  if whole < now or (whole == now and rest == 0) then
    return ''
  end
  return pk('>I4I4I3I7I4', name, burst, seconds, whole, rest)
end

-- What of a record is to stay: its buckets, its slices, and when they end, ms; nil where it cannot be
-- read. Of slices that a reset leaves those that are over drop out first, or they would be felt.
local function read(value, count, is_leased)
  local behind = 17 + 22 * count
  if count > 8 or #value ~= behind - 1 + (is_leased and 14 or 0) then
    return nil
  end
  local kept, slices, out, felt, ends = {}, '', 0, 0, 0
  if is_leased then
    local epoch, current, previous, quiet, series = up('>I5I3I3BI2', value, behind)
    local passed = (now - now % 200000) / 200000 - epoch
    if current + previous > 4194304 or current + previous + quiet == 0 then
      return nil
    elseif resets and passed > 0 then
      epoch, current, previous, quiet = epoch + passed, 0, passed == 1 and current or 0, math.max(quiet - passed, 0)
    end
    out = current + previous
    felt = out > 0 and 600000 or 0
    if out + quiet > 0 then
      slices, ends = pk('>I5I3I3BI2', epoch, current, previous, quiet, series), (epoch + math.max(quiet, 2)) * 200
    end
  end
  for place = 17, behind - 1, 22 do
    local bucket = string.sub(value, place, place + 21)
    local _, burst, seconds, _, f = up('>I4I4I3I7I4', bucket)
    if burst == 0 or seconds == 0 or f >= burst then
      return nil
    end
    bucket = resets and (out > 0 and filled(bucket, out) or '') or bucket
    if bucket ~= '' then
      local t, grain = up('>I7', bucket, 12) + felt, seconds * 125000
      ends = math.max(ends, (t - t % grain + grain) / 1000)
    end
    kept[#kept + 1] = bucket
  end
  return table.concat(kept), slices, ends
end

-- For how long slices that a record notes may still be spent, us.
local function good_for(value)
  if type(value) ~= 'string' or #value < 30 or string.byte(value, 2) < 16 then
    return 0
  end
  local epoch, current, previous = up('>I5I3I3', value, #value - 13)
  local over = current > 0 and epoch + 2 or previous > 0 and epoch + 1 or 0
  return math.min(math.max(over * 200000 - now, 0), 400000)
end

local slices = ''
local value = redis.pcall('GET', KEYS[2])
local good = math.max(good_for(value), good_for(redis.pcall('GET', KEYS[4])))
if type(value) == 'string' and #value >= 16 then
  local version, stored_flags, count, stored_generation, stored_end = up('>BBBI7I6', value)
  local kept, kept_slices, ends
  if version == 1 and stored_flags <= 17 and stored_flags % 16 <= 1 then
    kept, kept_slices, ends = read(value, count, stored_flags >= 16)
  end
  if kept then
    n, buckets, slices, expires = #kept / 22, kept, kept_slices, ends
    generation = math.max(generation, stored_generation)
    flags = math.max(flags, stored_flags % 16)
    fence_end = math.max(fence_end, stored_end)
  end
end

expires = math.max(expires, fence_end)
local head = pk('>BBBI7I6', 1, flags + (slices ~= '' and 16 or 0), n, generation, fence_end)
redis.call('SET', KEYS[2], head .. buckets .. slices, 'PXAT', expires)
if resets then
  redis.call('SET', KEYS[3], string.format('%.0f', asked), 'PXAT', ends)
end
return 'A' .. string.format('%.0f', good)
