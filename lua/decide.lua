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
-- ARGV[T+2..T+1+2S]    swaps: the buckets of a record as the asker read them, and a record whose
--                      buckets replace them. Of its head only the generation counts, if it is the
--                      higher one: fences are raised meanwhile, by every node that reads a change.
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
-- Cost     O(entries): TIME, MGET, at most one EXISTS, one SET for each changed record. 4 to
--          7 us an entry over one bucket were measured on the server, in a batch of 64.

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

-- Notes what a record is to be. `stays` is the expiry that belongs to what it was, 0 for none.
local function change(record, value, expires, stays)
  local pending = expiry[record]
  if pending == nil then
    changes = changes + 1
    changed[changes] = record
  end
  stored[record] = value
  expiry[record] = (pending or expires ~= stays) and expires
end

-- When a bucket may be forgotten, ms: at the first multiple of an eighth of its period after it
-- is full.
local function forget_after(whole, seconds)
  local grain = seconds * 125000
  return (whole - whole % grain + grain) / 1000
end

-- Head of a record: generation (nil where it cannot be read), revoked, fence end, n.
local function read_head(value)
  if not value then
    return 0, false, 0, 0
  end
  if #value < 16 then
    return nil
  end
  local version, flags, n, generation, fence = up('>BBBI7I6', value)
  if version ~= 1 or flags > 1 or n > 8 or #value ~= 16 + 22 * n then
    return nil
  end
  return generation, flags == 1, fence, n
end

for swap = 1, swaps do
  local tag, record
  tag, record, at = up('>BI2', batch, at)
  local from = tags + 2 * swap
  local generation, revoked, fence = read_head(stored[record])
  if own[tag] and stored[record] and generation and not revoked and sub(stored[record], 17) == ARGV[from] then
    local value, latest = ARGV[from + 1], math.max(fence, (now - now % 1000) / 1000 + 1)
    local asker, _, _, n = read_head(value)
    for bucket = 1, n do
      local seconds, t = up('>I3I7', value, 3 + 22 * bucket)
      latest = math.max(latest, forget_after(t, seconds))
    end
    change(record, pk('>BBBI7I6', 1, 0, n, math.max(generation, asker), fence) .. sub(value, 17), latest, 0)
  end
end

-- What an entry of any shape is worked out on: arrays that are used again and again, by subject
-- (record, generation, place of its first limit, their number, fence end, whether a bucket was
-- cut, the buckets of other names that still refill, expiry as it was) and by limit.
local records, askers, firsts, counts, fences, mended, others, stays = {}, {}, {}, {}, {}, {}, {}, {}
local names, bursts, periods, steps, step_fracs, whole, frac, next_whole, next_frac = {}, {}, {}, {}, {}, {}, {}, {}, {}

local function read_entry(shape, place)
  local subjects, limits, count = shape % 4 >= 2 and 2 or 1, 0, (shape % 32 - shape % 4) / 4
  for subject = 1, subjects do
    records[subject], askers[subject], place = up('>I2I7', batch, place)
    firsts[subject], counts[subject] = limits + 1, count
    for limit = limits + 1, limits + count do
      names[limit], bursts[limit], periods[limit], steps[limit], step_fracs[limit], place = up('>I4I4I3I6I4', batch, place)
    end
    limits, count = limits + count, (shape - shape % 32) / 32
  end
  return subjects, limits, place
end

-- Reads the buckets of a subject that are asked for. Returns 'B' where one cannot be read, 'C'
-- where one must be converted.
local function read_buckets(subject, n)
  local value, at_bucket, result = stored[records[subject]], 17, nil
  local first, last = firsts[subject], firsts[subject] + counts[subject] - 1
  local kept, until_ms = '', value and fences[subject] or 0
  mended[subject] = false
  for limit = first, last do
    whole[limit], frac[limit] = now, 0
  end
  for _ = 1, n do
    local name, burst, seconds, t, f, after = up('>I4I4I3I7I4', value, at_bucket)
    if burst == 0 or seconds == 0 or f >= burst then
      return 'B'
    end
    local forget = forget_after(t, seconds)
    until_ms = until_ms < forget and forget or until_ms
    if t > now or (t == now and f > 0) then
      local limit = first
      while limit <= last and names[limit] ~= name do
        limit = limit + 1
      end
      local brim = now + seconds * 1000000
      if limit > last then
        kept = kept .. sub(value, at_bucket, after - 1)
      elseif bursts[limit] ~= burst or periods[limit] ~= seconds then
        result = 'C'
      elseif t > brim or (t == brim and f > 0) then
        whole[limit], frac[limit], mended[subject] = brim, 0, true
      else
        whole[limit], frac[limit] = t, f
      end
    end
    at_bucket = after
  end
  others[subject], stays[subject] = kept, until_ms
  return result
end

-- Writes a record: the asked buckets first, then those of other names. A full one is not stored.
local function write(subject, t, f)
  local parts, n, latest = '', 0, fences[subject]
  for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
    if t[limit] > now or f[limit] > 0 then
      n = n + 1
      parts = parts .. pk('>I4I4I3I7I4', names[limit], bursts[limit], periods[limit], t[limit], f[limit])
      latest = math.max(latest, forget_after(t[limit], periods[limit]))
    end
  end
  -- As many of the others as there is room for.
  local kept = sub(others[subject], 1, 22 * (8 - n))
  for place = 1, #kept, 22 do
    local seconds, arrival = up('>I3I7', kept, place + 8)
    latest = math.max(latest, forget_after(arrival, seconds))
    n = n + 1
  end
  local head = pk('>BBBI7I6', 1, 0, n, askers[subject], fences[subject])
  change(records[subject], head .. parts .. kept, math.max(latest, (now - now % 1000) / 1000 + 1), stays[subject])
end

-- Decides an entry of any shape. Returns its result and the place of the next entry.
local function decide(shape, tag, place)
  local subjects, limits, next_place = read_entry(shape, place)
  if not own[tag] then
    return 'X', next_place
  end
  local buckets, buckets2
  for subject = 1, subjects do
    local generation, revoked, fence, n = read_head(stored[records[subject]])
    if not generation then
      return 'B', next_place
    elseif revoked then
      return 'R', next_place
    elseif generation > askers[subject] then
      return 'S', next_place
    end
    fences[subject] = fence
    buckets, buckets2 = buckets or n, n
  end
  local result
  for subject = 1, subjects do
    local told = counts[subject] > 0 and read_buckets(subject, subject == 1 and buckets or buckets2)
    if told == 'B' then
      return 'B', next_place
    end
    result = result or told
  end
  if result then
    local first, second = records[1], subjects == 2 and records[2]
    return { first, second }, next_place
  end

  local fits = true
  for limit = 1, limits do
    local t, f, brim = whole[limit] + steps[limit], frac[limit] + step_fracs[limit], now + periods[limit] * 1000000
    if f >= bursts[limit] then
      t, f = t + 1, f - bursts[limit]
    end
    fits = fits and (t < brim or (t == brim and f == 0))
    next_whole[limit], next_frac[limit] = t, f
  end
  local t, f, charge = whole, frac, fits and shape % 2 == 0
  if charge then
    t, f = next_whole, next_frac
  end
  for subject = 1, subjects do
    if counts[subject] > 0 and (charge or mended[subject]) then
      write(subject, t, f)
    end
  end
  local told = fits and 'A' or 'L'
  for limit = 1, limits do
    told = told .. pk('>I6I4', t[limit] - now, f[limit])
  end
  return told, next_place
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

-- Writes such a record. `before` is the arrival that was stored, 0 for none.
local function write_plain(record, generation, fence, name, burst, seconds, t, f, before)
  local grain = seconds * 125000 -- as in forget_after
  local expires, stays = (t - t % grain + grain) / 1000, 0
  if before > 0 then
    stays = (before - before % grain + grain) / 1000
    stays = stays < fence and fence or stays
  end
  expires = expires < fence and fence or expires
  change(record, pk('>I3I7I6I4I4I3I7I4', 65537, generation, fence, name, burst, seconds, t, f), expires, stays)
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
    for place = 1, 2 do
      if subjects[place] then
        local value = stored[subjects[place]] or ''
        parts[1 + place] = pk('>I2', #value) .. value
      end
    end
    out[entry] = table.concat(parts)
  end
end

return table.concat(out)
