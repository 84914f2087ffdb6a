-- Decides a batch of requests: each over the buckets of one or two subjects, all or nothing.
-- `decide_slices.lua` and `decide_entries.lua` go on from here: the three are one script.
--
-- A subject (a key, an owner, a named thing) is one Redis string, its *record*: fence and buckets.
-- All numbers are big-endian and whole, below 2^53; instants are microseconds since 1970.
--
--   record   u8 version = 1 | u8 flags: bit 0 revoked, bit 4 slices, others 0 | u8 n, 0..8
--            | u56 generation | u48 fence_end_ms (0 = none) | n x bucket | slices?
--   bucket   u32 name_id | u32 burst | u24 per_seconds | u56 arrival, us | u32 its fraction, in
--            1/burst us, below burst
--            Whoever does not know a version or a flag calls the record broken.
--   slices   u40 epoch | u24 current | u24 previous | u8 quiet | u16 series: tokens that nodes have
--            taken ahead from every bucket that was asked for, in that epoch (of 200 ms) and in the
--            one before, and may not have spent; for how many epochs from that one on none are
--            given; which run of epochs it is. Not there where all is 0.
--   expiry   of a record, ms: the latest of its fence's end, the end of its slices and quiet, and,
--            for each bucket, the first multiple of per_seconds x 125 (an eighth of its period) after
--            its arrival, or 600 ms after that where slices are out. So most writes need not set the
--            expiry anew.
--
-- KEYS     1..T        state ids of the tags in this batch (string)
--          T+1..       the records that it touches, each once
-- ARGV[1]  the batch (packed bytes)
--            head      u8 T | u8 entries, 1..128 | u8 S, swaps | S x { u8 tag | u16 record }
--            entry     u8 shape: bit 0 peek, bit 1 a second subject, bits 2..4 limits of the first,
--                      bits 5..7 limits of the second subject, 0..4 each
--                      | u8 tag, 128 more where a lease comes behind | subject | subject? | lease?
--            subject   u16 record | u56 generation that the asker knows | limits x limit
--            limit     u32 name_id | u32 burst | u24 per_seconds | u48 step, us | u32 its fraction
--            lease     u24 tokens to take ahead | the slice that is handed back: u24 granted, 0 for
--                      none | u24 of them unspent | u40 epoch | u16 series of each subject
--            tail      21 zero bytes: the first limit of an entry is read before it is known
--          A tag is a place in KEYS, 1..T; a record likewise, T+1..#KEYS. A step is what the cost
--          is worth: cost x per_seconds x 10^6 / burst us, at most one period.
-- ARGV[2..T+1]         what the asker takes the state ids to be (string)
-- ARGV[T+2..T+1+2S]    swaps: the buckets of a record as the asker read them, and a record whose
--                      buckets replace them. Of its head only the generation counts, if it is the
--                      higher one: fences are raised meanwhile, by every node that reads a change.
--
-- Result   one string: u56 now, us | a result for each entry, in order:
--            'A' allowed, 'L' limited, and no slices are out: per limit u48 (arrival - now), us | u32 its
--                fraction; as it is after the charge, or as it was where nothing was charged (limited,
--                peek)
--            'P' allowed, 'O' limited, while slices are out: per subject u8 1 if their epoch is the
--                next one, else 0 | u24 current | u24 previous; then as 'A' and 'L'. How the buckets
--                are held until those are over is for the asker to work out.
--            'G' allowed, and a slice was given: as 'P', with it | u24 how long it may be spent, us
--                | u24 tokens | u40 epoch | u16 series of each subject
--            'C' convert: a bucket that is not full was written under other figures; per subject u16
--                length | record
--            'S' the asker's generation is behind the fence    'R' revoked
--            'X' lost: the tag's state id is another           'B' broken: unreadable, or unwritable
--
-- Holds    An entry that is not 'A', 'P' or 'G' charges nothing; a denial, and a peek, write nothing either,
--          except that an arrival more than a period ahead (the clock stepped back) is cut, that slices
--          of an epoch further ahead than the next one are noted anew, that a slice may be handed back (each of these and 'L' and 'O' did so if it is still counted), and that
--          where slices alone are what refused an entry none are given for 255 epochs.
--          Tokens in a bucket + unspent slices <= burst: no arrival is earlier than now + what
--          is outstanding, and what drops out of the sum leaves the bucket as it held it. At most
--          a twentieth of a burst is outstanding, and no more than 2^22 tokens. A slice is good
--          until the second epoch after its own begins. While the stored epoch is ahead of the
--          clock none is given, and those that are out are counted for the longest life again.
--          A record that is not there is one without fence and with all buckets full, and a record
--          expires only when it is just that: no expiry can be observed.
--          Entries see the writes of those before them. One broken record concerns only the
--          entries that name it. Nothing raises after the first write; before it, an error of the
--          call means that nothing was charged.
--          A write that fails (maxmemory) turns the entries that rest on it to 'B'. Redis refuses
--          all writes of a script or none; if ever it refused the second record of an entry after
--          taking the first, the first stays charged: too much is charged, never too little.
-- Cost     An entry with a lease, or over a record with slices, costs about as much as one over two
--          limits. O(entries): TIME, MGET, at most one EXISTS, one SET for each changed record. 4 to
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

-- Slices.
local EPOCH, LEASED_MAX, QUIET, FELT = 200000, 4194304, 255, 600000
local this_epoch = (now - now % EPOCH) / EPOCH
local LEASE_BYTES = 18

-- What tokens of a bucket are worth, at most a burst of them: microseconds, fraction.
local function worth(tokens, burst, seconds)
  tokens = tokens < burst and tokens or burst
  local period = seconds * 1000000
  local part = period % burst
  local parts = tokens * part
  local rest = parts % burst
  return tokens * ((period - part) / burst) + (parts - rest) / burst, rest
end

-- How many of the tokens that are out hold a bucket down: what is more than its share was taken
-- under other limits.
local function holding(tokens, burst)
  local share = (burst - burst % 20) / 20
  return tokens < share and tokens or share
end

-- The later of two instants, the second of them a bucket's that lacks so many tokens at that time,
-- and no later than a third.
local function held(t, f, at_us, tokens, burst, seconds, last_t, last_f)
  local whole, rest = worth(holding(tokens, burst), burst, seconds)
  whole = whole + at_us
  if whole > last_t or (whole == last_t and rest > last_f) then
    whole, rest = last_t, last_f
  end
  if whole > t or (whole == t and rest > f) then
    return whole, rest
  end
  return t, f
end

-- What a record's slices, as they are stored, ask of its expiry, ms; and by how much longer than
-- until they are full its buckets are felt, us. A record without them has epoch nil.
local function slices_end(epoch, outstanding, quiet)
  if not epoch then
    return 0, 0
  end
  return (epoch + (quiet > 2 and quiet or 2)) * (EPOCH / 1000), outstanding > 0 and FELT or 0
end

-- Head of a record: generation (nil where it cannot be read), revoked, fence end, n, place of its
-- slices (nil where there are none).
local function read_head(value)
  if not value then
    return 0, false, 0, 0, nil
  end
  if #value < 16 then
    return nil
  end
  local version, flags, n, generation, fence = up('>BBBI7I6', value)
  local slices = flags >= 16 and 17 + 22 * n or nil
  if version ~= 1 or flags % 16 > 1 or flags > 17 or n > 8 or #value ~= 16 + 22 * n + (slices and 14 or 0) then
    return nil
  end
  return generation, flags % 16 == 1, fence, n, slices
end

for swap = 1, swaps do
  local tag, record
  tag, record, at = up('>BI2', batch, at)
  local from, value = tags + 2 * swap, stored[record]
  local generation, revoked, fence, n, slices = read_head(value)
  if own[tag] and value and generation and not revoked and sub(value, 17, 16 + 22 * n) == ARGV[from] then
    local epoch, current, previous, quiet
    if slices then
      epoch, current, previous, quiet = up('>I5I3I3B', value, slices)
    end
    local latest, felt = slices_end(epoch, (current or 0) + (previous or 0), quiet)
    latest = math.max(latest, fence, (now - now % 1000) / 1000 + 1)
    local asker, _, _, buckets = read_head(ARGV[from + 1])
    local replacement = sub(ARGV[from + 1], 17, 16 + 22 * buckets)
    for bucket = 1, buckets do
      local seconds, t = up('>I3I7', replacement, 22 * bucket - 13)
      latest = math.max(latest, forget_after(t + felt, seconds))
    end
    local head = pk('>BBBI7I6', 1, slices and 16 or 0, buckets, math.max(generation, asker), fence)
    change(record, head .. replacement .. (slices and sub(value, slices) or ''), latest, 0)
  end
end

-- What an entry of any shape is worked out on: arrays that are used again and again, by subject
-- (record, generation, place of its first limit, their number, fence end, whether something is to be
-- stored whatever is decided, the buckets of other names that still refill, expiry as it was; how
-- many buckets and where its slices are, their epoch, current, previous, quiet, series) and by limit.
local records, askers, firsts, counts, fences, mended, others, stays = {}, {}, {}, {}, {}, {}, {}, {}
local buckets, tails, epochs, currents, previouses, quiets, serials = {}, {}, {}, {}, {}, {}, {}
-- Of slices as they are stored: where the epochs of the current and of all of them end, and how many
-- they are; 0 where there are none.
local first_drops, last_drops, alls, lasts = {}, {}, {}, {}
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

-- Reads the slices of a subject as they are now, and makes its buckets full. Returns false where they
-- cannot be read; else what they ask of the expiry, as in slices_end.
local function read_slices(subject, place)
  local first, last = firsts[subject], firsts[subject] + counts[subject] - 1
  for limit = first, last do
    whole[limit], frac[limit] = now, 0
  end
  if not place then
    epochs[subject], currents[subject], previouses[subject], quiets[subject], serials[subject] = this_epoch, 0, 0, 0, now % 65536
    alls[subject] = 0
    return 0, 0
  end
  local epoch, current, previous, quiet, series = up('>I5I3I3BI2', stored[records[subject]], place)
  local all = current + previous
  if all > LEASED_MAX or (all == 0 and quiet == 0) then
    return false
  end
  local keep_ms, felt = slices_end(epoch, all, quiet)
  first_drops[subject], last_drops[subject], alls[subject], lasts[subject] = (epoch + 1) * EPOCH, (epoch + 2) * EPOCH, all, current
  local passed = this_epoch - epoch
  if passed < -1 then
    local fresh = now % 65536
    series = fresh == series and (fresh + 1) % 65536 or fresh
    epoch, current, previous, mended[subject] = this_epoch + 1, all, 0, all > 0
  elseif passed > 0 then
    quiet = quiet > passed and quiet - passed or 0
    epoch, current, previous = this_epoch, 0, passed == 1 and current or 0
  end
  epochs[subject], currents[subject], previouses[subject], quiets[subject], serials[subject] = epoch, current, previous, quiet, series
  return keep_ms, felt
end

-- Where slices that have dropped out since left a bucket that is stored, under its own figures, if
-- that is later than t, f. `asked`: the burst that is asked for.
local function left(subject, t, f, burst, seconds, asked)
  local last_t, last_f = t + FELT, f
  if first_drops[subject] <= now then
    t, f = held(t, f, first_drops[subject], holding(alls[subject], asked), burst, seconds, last_t, last_f)
  end
  if last_drops[subject] <= now then
    t, f = held(t, f, last_drops[subject], holding(lasts[subject], asked), burst, seconds, last_t, last_f)
  end
  return t, f
end

-- Takes up a bucket that is stored under the figures that are asked for.
local function same_figures(subject, limit, t, f)
  local burst, seconds = bursts[limit], periods[limit]
  local brim = now + seconds * 1000000
  if t > brim or (t == brim and f > 0) then
    whole[limit], frac[limit], mended[subject] = brim, 0, true
    return
  end
  if alls[subject] > 0 then
    local stored_t, stored_f, out = t, f, currents[subject] + previouses[subject]
    t, f = left(subject, t, f, burst, seconds, burst)
    if out > 0 then
      t, f = held(t, f, now, out, burst, seconds, stored_t + FELT, stored_f)
    end
  end
  if t > now or (t == now and f > 0) then
    whole[limit], frac[limit] = t, f
  end
end

-- The same under other figures. Returns 'C' if it must be converted: a full one need not be.
local function other_figures(subject, limit, t, f, burst, seconds)
  if alls[subject] > 0 then
    t, f = left(subject, t, f, burst, seconds, bursts[limit])
  end
  if t > now or (t == now and f > 0) then
    return 'C'
  end
  local out = currents[subject] + previouses[subject]
  if out > 0 then
    mended[subject] = true
    whole[limit], frac[limit] = held(now, 0, now, out, bursts[limit], periods[limit], math.huge, 0)
  end
end

-- Reads the buckets of a subject that are asked for. Returns 'B' where one cannot be read, 'C'
-- where one must be converted.
local function read_buckets(subject)
  local value, at_bucket, result = stored[records[subject]], 17, nil
  local first, last = firsts[subject], firsts[subject] + counts[subject] - 1
  local kept, until_ms = '', value and fences[subject] or 0
  mended[subject] = false
  local keep_ms, felt = read_slices(subject, tails[subject])
  if not keep_ms then
    return 'B'
  end
  until_ms = until_ms < keep_ms and keep_ms or until_ms
  for _ = 1, buckets[subject] do
    local name, burst, seconds, t, f, after = up('>I4I4I3I7I4', value, at_bucket)
    if burst == 0 or seconds == 0 or f >= burst then
      return 'B'
    end
    local forget = forget_after(t + felt, seconds)
    until_ms = until_ms < forget and forget or until_ms
    local refills = t > now or (t == now and f > 0)
    if refills or t + felt >= now then
      local limit = first
      while limit <= last and names[limit] ~= name do
        limit = limit + 1
      end
      if limit > last then
        kept = refills and kept .. sub(value, at_bucket, after - 1) or kept
      elseif bursts[limit] ~= burst or periods[limit] ~= seconds then
        result = other_figures(subject, limit, t, f, burst, seconds) or result
      else
        same_figures(subject, limit, t, f)
      end
    end
    at_bucket = after
  end
  others[subject], stays[subject] = kept, until_ms
  return result
end

-- Writes a record: the asked buckets first, then those of other names, then slices. A full bucket
-- is not stored.
local function write(subject, t, f)
  local parts, n, latest, tail, flags, felt = '', 0, fences[subject], '', 0, 0
  local outstanding = currents[subject] + previouses[subject]
  if outstanding > 0 or quiets[subject] > 0 then
    local keep_ms
    keep_ms, felt = slices_end(epochs[subject], outstanding, quiets[subject])
    latest = latest < keep_ms and keep_ms or latest
    flags = 16
    tail = pk('>I5I3I3BI2', epochs[subject], currents[subject], previouses[subject], quiets[subject], serials[subject])
  end
  for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
    if t[limit] > now or f[limit] > 0 then
      n = n + 1
      parts = parts .. pk('>I4I4I3I7I4', names[limit], bursts[limit], periods[limit], t[limit], f[limit])
      latest = math.max(latest, forget_after(t[limit] + felt, periods[limit]))
    end
  end
  -- As many of the others as there is room for.
  local kept = sub(others[subject], 1, 22 * (8 - n))
  for place = 1, #kept, 22 do
    local seconds, arrival = up('>I3I7', kept, place + 8)
    latest = math.max(latest, forget_after(arrival + felt, seconds))
    n = n + 1
  end
  local head = pk('>BBBI7I6', 1, flags, n, askers[subject], fences[subject])
  change(records[subject], head .. parts .. kept .. tail, math.max(latest, (now - now % 1000) / 1000 + 1), stays[subject])
end
