-- Decides a batch of requests: each over the buckets of one or two subjects, all or nothing.
-- `decide_any.lua` and `decide_entries.lua` go on from here: the three are one script.
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
