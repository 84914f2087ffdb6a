-- Decides a batch of requests: each over the buckets of one or two subjects, all or nothing.
--
-- A subject (a key, an owner, a named thing) is one Redis string, its *record*: fence and buckets.
-- All numbers are big-endian and whole, below 2^53; instants are microseconds since 1970.
--
--   record   u8 version = 1 | u8 flags: bit 0 revoked, others 0 | u8 n, 0..8
--            | u56 generation | u48 fence_end_ms (0 = none) | n x bucket
--   bucket   u32 name_id | u32 burst | u24 per_seconds | u56 arrival, us | u32 its fraction, in
--            1/burst us, below burst
--            Bits 4..7 of the flags are kept for the tails of leases. Whoever does not know a
--            version or a flag calls the record broken.
--   expiry   of a record, ms: the latest of its fence's end and, for each bucket, the first
--            multiple of per_seconds x 125 (an eighth of its period) after its arrival. So most
--            writes need not set the expiry anew.
--
-- KEYS     1..T        state ids of the tags in this batch (string)
--          T+1..       the records that it touches, each once
-- ARGV[1]  the batch (packed bytes)
--            head      u8 T | u8 entries, 1..128 | u8 S, swaps | S x { u8 tag | u16 record }
--            entry     u8 shape: bit 0 peek, bit 1 a second subject, bits 2..4 limits of the first,
--                      bits 5..7 limits of the second subject, 0..4 each
--                      | u8 tag | subject | subject?
--            subject   u16 record | u56 generation that the asker knows | limits x limit
--            limit     u32 name_id | u32 burst | u24 per_seconds | u48 step, us | u32 its fraction
--            tail      21 zero bytes: the first limit of an entry is read before it is known
--          A tag is a place in KEYS, 1..T; a record likewise, T+1..#KEYS. A step is what the cost
--          is worth: cost x per_seconds x 10^6 / burst us, at most one period.
-- ARGV[2..T+1]         what the asker takes the state ids to be (string)
-- ARGV[T+2..T+1+2S]    swaps: a record as the asker read it, and what replaces it
--
-- Result   one string: u56 now, us | a result for each entry, in order:
--            'A' allowed, 'L' limited: per limit u48 (arrival - now), us | u32 its fraction; as it
--                is after the charge, or as it was where nothing was charged (limited, peek)
--            'C' convert: a bucket that is not full was written under other figures; per subject u16
--                length | record
--            'S' the asker's generation is behind the fence    'R' revoked
--            'X' lost: the tag's state id is another           'B' broken: unreadable, or unwritable
--
-- Holds    An entry that is not 'A' charges nothing; a denial, and a peek, write nothing either,
--          except that an arrival more than a period ahead (the clock stepped back) is cut.
--          A record that is not there is one without fence and with all buckets full, and a record
--          expires only when it is just that: no expiry can be observed.
--          Entries see the writes of those before them. One broken record concerns only the
--          entries that name it. Nothing raises after the first write; before it, an error of the
--          call means that nothing was charged.
--          A write that fails (maxmemory) turns the entries that rest on it to 'B'. Redis refuses
--          all writes of a script or none; if ever it refused the second record of an entry after
--          taking the first, the first stays charged: too much is charged, never too little.
-- Cost     O(entries): TIME, MGET, at most one EXISTS, one SET for each changed record. About
--          4 us an entry over one bucket, on the server, in a batch of 64.

local call, pcall_redis, up, pk, sub = redis.call, redis.pcall, struct.unpack, struct.pack, string.sub
local batch = ARGV[1]

-- The clock. (The model test replaces these two lines by a clock of its own.)
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

local tags, entries, swaps, at = up('>BBB', batch)
local stored = call('MGET', unpack(KEYS)) -- what is in Redis, and later what is to be
local own = {} -- own[tag]: the state is the one that the asker joined
local expiry = {} -- expiry[record]: ms, of the records that changed; false if it is to stay
local changed, changes = {}, 0 -- the changed records, in order
local out = { pk('>I7', now) }

for tag = 1, tags do
  own[tag] = stored[tag] == ARGV[1 + tag]
end

-- MGET says nil for a record that is missing and for a key that is no string: tell them apart.
local absent, absents = {}, 0
for record = tags + 1, #KEYS do
  if not stored[record] then
    absents = absents + 1
    absent[absents] = KEYS[record]
  end
end
if absents > 0 and call('EXISTS', unpack(absent)) > 0 then
  for record = tags + 1, #KEYS do
    if not stored[record] and call('EXISTS', KEYS[record]) > 0 then
      stored[record] = '' -- reads as broken
    end
  end
end

local function change(record, value, expires)
  if expiry[record] == nil then
    changes = changes + 1
    changed[changes] = record
  end
  stored[record] = value
  expiry[record] = expires
end

-- When a bucket may be forgotten, ms: at the first multiple of an eighth of its period after it
-- is full.
local function forget_after(whole, seconds)
  local grain = seconds * 125000
  return (whole - whole % grain + grain) / 1000
end

-- Head of a record: generation (nil where it cannot be read), revoked, fence end, n, next place.
local function read_head(value)
  if not value then
    return 0, false, 0, 0, 17
  end
  if #value < 16 then
    return nil
  end
  local version, flags, n, generation, fence = up('>BBBI7I6', value)
  if version ~= 1 or flags > 1 or n > 8 or #value ~= 16 + 22 * n then
    return nil
  end
  return generation, flags == 1, fence, n, 17
end

-- Writes a record: the asked buckets first (whole, frac: arrays from `first` on), then those of
-- other names that still refill, `others`, 8 in all. A full bucket is not stored.
local function write(record, generation, fence, limits, first, count, whole, frac, others)
  local parts, n, latest = {}, 0, fence
  for place = first, first + count - 1 do
    if whole[place] > now or frac[place] > 0 then
      local limit = limits[place]
      n = n + 1
      parts[n] = pk('>I4I4I3I7I4', limit[1], limit[2], limit[3], whole[place], frac[place])
      latest = math.max(latest, forget_after(whole[place], limit[3]))
    end
  end
  for place = 1, #others, 2 do
    if n < 8 then
      n = n + 1
      parts[n] = others[place]
      latest = math.max(latest, others[place + 1])
    end
  end
  local head = pk('>BBBI7I6', 1, 0, n, generation, fence)
  change(record, head .. table.concat(parts), math.max(latest, (now - now % 1000) / 1000 + 1))
end

for swap = 1, swaps do
  local tag, record
  tag, record, at = up('>BI2', batch, at)
  local from = tags + 2 * swap
  if own[tag] and stored[record] == ARGV[from] then
    local value, latest = ARGV[from + 1], (now - now % 1000) / 1000 + 1
    local _, _, fence, n = read_head(value)
    latest = math.max(latest, fence)
    for bucket = 1, n do
      local seconds, t = up('>I3I7', value, 3 + 22 * bucket)
      latest = math.max(latest, forget_after(t, seconds))
    end
    change(record, value, latest)
  end
end

-- Decides an entry of any shape. Returns its result and the place of the next entry.
local function decide(shape, tag, place)
  local peek, second = shape % 2 == 1, shape % 4 >= 2
  local counts = { (shape % 32 - shape % 4) / 4, (shape - shape % 32) / 32 }
  local subjects, limits, total = {}, {}, 0
  for subject = 1, second and 2 or 1 do
    local record, generation
    record, generation, place = up('>I2I7', batch, place)
    subjects[subject] = { record, generation, total + 1, counts[subject] }
    for _ = 1, counts[subject] do
      local name, burst, seconds, step, step_frac
      name, burst, seconds, step, step_frac, place = up('>I4I4I3I6I4', batch, place)
      total = total + 1
      limits[total] = { name, burst, seconds, step, step_frac }
    end
  end
  if not own[tag] then
    return 'X', place
  end

  for _, subject in ipairs(subjects) do
    local generation, revoked, fence = read_head(stored[subject[1]])
    if not generation then
      return 'B', place
    elseif revoked then
      return 'R', place
    elseif generation > subject[2] then
      return 'S', place
    end
    subject[5] = fence
  end

  local whole, frac = {}, {} -- settled arrivals of the asked limits
  for asked = 1, total do
    whole[asked], frac[asked] = now, 0
  end
  local convert = false
  for _, subject in ipairs(subjects) do
    local value, first, others, mended = stored[subject[1]], subject[3], {}, false
    local _, _, _, n, bucket = read_head(value)
    for _ = 1, n do
      local name, burst, seconds, t, f, after = up('>I4I4I3I7I4', value, bucket)
      if burst == 0 or seconds == 0 or f >= burst then
        return 'B', place
      end
      local found = false
      for asked = first, first + subject[4] - 1 do
        local limit = limits[asked]
        if limit[1] == name then
          found = true
          local brim = now + seconds * 1000000
          if limit[2] ~= burst or limit[3] ~= seconds then
            -- A bucket that is full is so under any figures.
            convert = convert or t > now or (t == now and f > 0)
          elseif t > brim or (t == brim and f > 0) then
            whole[asked], frac[asked], mended = brim, 0, true
          elseif t >= now then
            whole[asked], frac[asked] = t, f
          end
        end
      end
      if not found and (t > now or (t == now and f > 0)) then
        others[#others + 1] = sub(value, bucket, after - 1)
        others[#others + 1] = forget_after(t, seconds)
      end
      bucket = after
    end
    subject[6], subject[7] = others, mended
  end
  if convert then
    return subjects, place
  end

  local fits, next_whole, next_frac = true, {}, {}
  for asked = 1, total do
    local limit = limits[asked]
    local t, f, brim = whole[asked] + limit[4], frac[asked] + limit[5], now + limit[3] * 1000000
    if f >= limit[2] then
      t, f = t + 1, f - limit[2]
    end
    fits = fits and (t < brim or (t == brim and f == 0))
    next_whole[asked], next_frac[asked] = t, f
  end
  local charge = fits and not peek
  if charge then
    whole, frac = next_whole, next_frac
  end
  for _, subject in ipairs(subjects) do
    if subject[4] > 0 and (charge or subject[7]) then
      write(subject[1], subject[2], subject[5], limits, subject[3], subject[4], whole, frac, subject[6])
    end
  end
  local result = { fits and 'A' or 'L' }
  for asked = 1, total do
    result[1 + asked] = pk('>I6I4', whole[asked] - now, frac[asked])
  end
  return table.concat(result), place
end

-- The frequent case: one limit, in a record that holds the bucket of just that, or none at all.
-- Returns generation, fence end, arrival (whole, fraction), whether that was cut; nil if it is not.
local function read_plain(record, name, burst, seconds, brim)
  local value = stored[record]
  if not value then
    return 0, 0, now, 0, false, 0
  elseif #value ~= 38 then
    return nil
  end
  local head, generation, fence, of, b, s, t, f = up('>I3I7I6I4I4I3I7I4', value)
  if head ~= 65537 or of ~= name or b ~= burst or s ~= seconds or f >= burst then
    return nil
  elseif t < now then
    return generation, fence, now, 0, false, t
  elseif t > brim or (t == brim and f > 0) then
    return generation, fence, brim, 0, true, t
  end
  return generation, fence, t, f, false, t
end

-- Writes such a record. `before` is the arrival that was stored, 0 for none: where the expiry of
-- both is the same, it stays.
local function write_plain(record, generation, fence, name, burst, seconds, t, f, before)
  local grain = seconds * 125000 -- as in forget_after
  local expires = (t - t % grain + grain) / 1000
  if expires < fence then
    expires = fence
  end
  local pending = expiry[record]
  if pending == nil then
    changes = changes + 1
    changed[changes] = record
  end
  if not pending and before > 0 then
    local stays = (before - before % grain + grain) / 1000
    if stays < fence then
      stays = fence
    end
    expires = stays ~= expires and expires
  end
  stored[record] = pk('>I3I7I6I4I4I3I7I4', 65537, generation, fence, name, burst, seconds, t, f)
  expiry[record] = expires
end

-- Decides. Entries over one limit each of one or two subjects are written out, every other shape
-- takes the way above.
for entry = 1, entries do
  local shape, tag, record, asker, name, burst, seconds, step, step_frac, after =
    up('>BBI2I7I4I4I3I6I4', batch, at)
  local result
  if (shape == 4 or shape == 5) and own[tag] then
    local brim = now + seconds * 1000000
    local generation, fence, t, f, write, before = read_plain(record, name, burst, seconds, brim)
    if generation and generation > asker then
      result = 'S'
    elseif generation then
      local next_t, next_f = t + step, f + step_frac
      if next_f >= burst then
        next_t, next_f = next_t + 1, next_f - burst
      end
      local code = 76
      if next_t < brim or (next_t == brim and next_f == 0) then
        code = 65
        if shape == 4 then
          t, f, write = next_t, next_f, true
        end
      end
      if write then
        write_plain(record, asker, fence, name, burst, seconds, t, f, before)
      end
      result = pk('>BI6I4', code, t - now, f)
    end
  elseif (shape == 38 or shape == 39) and own[tag] then
    local record2, asker2, name2, burst2, seconds2, step2, step_frac2, after2 = up('>I2I7I4I4I3I6I4', batch, after)
    local brim, brim2 = now + seconds * 1000000, now + seconds2 * 1000000
    local generation, fence, t, f, write, before = read_plain(record, name, burst, seconds, brim)
    local generation2, fence2, t2, f2, write2, before2 = read_plain(record2, name2, burst2, seconds2, brim2)
    if generation and generation2 then
      if generation > asker or generation2 > asker2 then
        result = 'S'
      else
        local next_t, next_f, next_t2, next_f2 = t + step, f + step_frac, t2 + step2, f2 + step_frac2
        if next_f >= burst then
          next_t, next_f = next_t + 1, next_f - burst
        end
        if next_f2 >= burst2 then
          next_t2, next_f2 = next_t2 + 1, next_f2 - burst2
        end
        local code = 76
        if (next_t < brim or (next_t == brim and next_f == 0)) and (next_t2 < brim2 or (next_t2 == brim2 and next_f2 == 0)) then
          code = 65
          if shape == 38 then
            t, f, write, t2, f2, write2 = next_t, next_f, true, next_t2, next_f2, true
          end
        end
        if write then
          write_plain(record, asker, fence, name, burst, seconds, t, f, before)
        end
        if write2 then
          write_plain(record2, asker2, fence2, name2, burst2, seconds2, t2, f2, before2)
        end
        result = pk('>BI6I4I6I4', code, t - now, f, t2 - now, f2)
      end
      after = after2
    end
  end
  if result then
    at = after
  else
    result, at = decide(shape, tag, at + 2)
  end
  out[1 + entry] = result
end

-- Writes.
local failed = nil
for place = 1, changes do
  local record = changed[place]
  local expires, done = expiry[record], nil
  if expires then
    done = pcall_redis('SET', KEYS[record], stored[record], 'PXAT', expires)
  else
    done = pcall_redis('SET', KEYS[record], stored[record], 'KEEPTTL')
  end
  if done.err then
    failed = failed or {}
    failed[record] = true
  end
end

-- Entries that rest on a record that could not be written: those that charged it, and those that
-- were decided after such a charge. Found by reading the batch once more.
if failed then
  local charged = {}
  at = 4 + 3 * swaps
  for entry = 1, entries do
    local shape = up('>B', batch, at)
    at = at + 2
    local counts = { (shape % 32 - shape % 4) / 4, (shape - shape % 32) / 32 }
    local result = out[1 + entry]
    local allowed = type(result) == 'string' and sub(result, 1, 1) == 'A'
    local charge, broken = allowed and shape % 2 == 0, false
    for subject = 1, shape % 4 >= 2 and 2 or 1 do
      local record = up('>I2', batch, at)
      at = at + 9 + 21 * counts[subject]
      if counts[subject] > 0 and failed[record] then
        broken = broken or charge or charged[record]
        charged[record] = charged[record] or charge
      end
    end
    if broken and type(result) == 'string' and (allowed or sub(result, 1, 1) == 'L') then
      out[1 + entry] = 'B'
    end
  end
end

-- Entries to convert are told their records as they stand now.
for entry = 2, entries + 1 do
  local subjects = out[entry]
  if type(subjects) == 'table' then
    local parts = { 'C' }
    for place, subject in ipairs(subjects) do
      local value = stored[subject[1]] or ''
      parts[1 + place] = pk('>I2', #value) .. value
    end
    out[entry] = table.concat(parts)
  end
end

return table.concat(out)
