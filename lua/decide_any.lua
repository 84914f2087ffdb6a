-- Second part of the script that begins with `decide.lua`, where KEYS, ARGV and the Result are told: what
-- most calls need nothing of. To make all these functions and arrays would cost each call as much as
-- two of its entries do.

-- Applies the swaps, and returns how an entry of any shape is decided.
local function decide_any()
  -- When a bucket may be forgotten, ms: at the first multiple of an eighth of its period after it
  -- is full.
  local function forget_after(whole, seconds)
    local grain = seconds * 125000
    return (whole - whole % grain + grain) / 1000
  end

  -- Slices.
  local EPOCH, LEASED_MAX, QUIET, FELT = 200000, 4194304, 255, 600000
  local this_epoch = (now - now % EPOCH) / EPOCH

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

  -- Hands a slice back: what is unspent of it goes into the buckets again. What is still outstanding
  -- holds them down.
  local function settle(subject, granted, unused, epoch, series)
    if series ~= serials[subject] or unused > granted or granted > LEASED_MAX then
      return
    end
    if epoch == epochs[subject] then
      currents[subject] = math.max(currents[subject] - granted, 0)
    elseif epoch + 1 == epochs[subject] then
      previouses[subject] = math.max(previouses[subject] - granted, 0)
    else
      return
    end
    mended[subject] = true
    for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
      local burst, seconds = bursts[limit], periods[limit]
      local t, f = worth(unused, burst, seconds)
      t, f = whole[limit] - t, frac[limit] - f
      if f < 0 then
        t, f = t - 1, f + burst
      end
      whole[limit], frac[limit] =
        held(t, f, now, currents[subject] + previouses[subject], burst, seconds, whole[limit], frac[limit])
    end
  end

  -- The largest slice of at most `want` tokens that the buckets of all subjects give, after a charge.
  local function largest(subjects, want)
    local limits = 0
    for subject = 1, subjects do
      if counts[subject] > 0 then
        if quiets[subject] > 0 or epochs[subject] ~= this_epoch then
          return 0
        end
        for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
          limits = limits + 1
          local burst, period = bursts[limit], periods[limit] * 1000000
          local share = (burst - burst % 20) / 20
          local room = (share < LEASED_MAX and share or LEASED_MAX) - currents[subject] - previouses[subject]
          room = room > 0 and (room + room % 2) / 2 or 0
          local free = now + period - next_whole[limit] - (next_frac[limit] > 0 and 1 or 0)
          free = (free < period and free or period) * 1024
          local quarter = (free - free % period) / period * burst
          quarter = (quarter - quarter % 4096) / 4096
          want = math.min(want, room, quarter)
        end
      end
    end
    return limits > 0 and want or 0
  end

  -- Gives a slice of the buckets that were just charged.
  local function give(subjects, tokens)
    for subject = 1, subjects do
      if counts[subject] > 0 then
        currents[subject] = currents[subject] + tokens
        for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
          local t, f = worth(tokens, bursts[limit], periods[limit])
          t, f = next_whole[limit] + t, next_frac[limit] + f
          if f >= bursts[limit] then
            t, f = t + 1, f - bursts[limit]
          end
          next_whole[limit], next_frac[limit] = t, f
        end
      end
    end
  end

  -- Whether so many tokens fewer in the buckets of a limit are what refused a request.
  local function would_fit(limit, outstanding)
    local burst, seconds = bursts[limit], periods[limit]
    local t, f = worth(holding(outstanding, burst), burst, seconds)
    t, f = whole[limit] - t, frac[limit] - f
    if f < 0 then
      t, f = t - 1, f + burst
    end
    if t < now then
      t, f = now, 0
    end
    t, f = t + steps[limit], f + step_fracs[limit]
    if f >= burst then
      t, f = t + 1, f - burst
    end
    local brim = now + seconds * 1000000
    return t < brim or (t == brim and f == 0)
  end

  -- Where a request would have passed had all slices been handed back: none are given for a while.
  local function blame(subjects)
    for subject = 1, subjects do
      local outstanding = currents[subject] + previouses[subject]
      for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
        if not would_fit(limit, outstanding) then
          return
        end
      end
    end
    for subject = 1, subjects do
      local refused = false
      for limit = firsts[subject], firsts[subject] + counts[subject] - 1 do
        refused = refused or not would_fit(limit, 0)
      end
      if refused and quiets[subject] < QUIET then
        quiets[subject], mended[subject] = QUIET, true
      end
    end
  end

  -- What is out of the buckets of an entry, as the Result tells it.
  local function slices_told(subjects)
    local told = pk('>BI3I3', epochs[1] - this_epoch, currents[1], previouses[1])
    return subjects == 1 and told or told .. pk('>BI3I3', epochs[2] - this_epoch, currents[2], previouses[2])
  end

  -- Decides an entry of any shape. Returns its result and the place of the next entry.
  local function decide(shape, tag, place)
    local subjects, limits, next_place = read_entry(shape, place)
    local want, granted, unused, lease_epoch, first_series, second_series = 0, 0
    if tag >= 128 then
      tag = tag - 128
      want, granted, unused, lease_epoch, first_series, second_series, next_place = up('>I3I3I3I5I2I2', batch, next_place)
    end
    if not own[tag] then
      return 'X', next_place
    end
    for subject = 1, subjects do
      local generation, revoked, fence, n, slices = read_head(stored[records[subject]])
      if not generation then
        return 'B', next_place
      elseif revoked then
        return 'R', next_place
      elseif generation > askers[subject] then
        return 'S', next_place
      end
      fences[subject], buckets[subject], tails[subject] = fence, n, slices
    end
    local result
    local outstanding = 0
    for subject = 1, subjects do
      if counts[subject] > 0 then
        local told = read_buckets(subject)
        if told == 'B' then
          return 'B', next_place
        end
        result = result or told
      else
        epochs[subject], currents[subject], previouses[subject], quiets[subject], serials[subject] = this_epoch, 0, 0, 0, 0
        mended[subject] = false
      end
    end
    if result then
      local first, second = records[1], subjects == 2 and records[2]
      return { first, second }, next_place
    end
    for subject = 1, subjects do
      if granted > 0 and counts[subject] > 0 then
        settle(subject, granted, unused, lease_epoch, subject == 1 and first_series or second_series)
      end
      outstanding = outstanding + currents[subject] + previouses[subject]
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
    local peek = shape % 2 == 1
    local t, f, charge = whole, frac, fits and not peek
    local told, slice = '', 0
    if charge then
      t, f = next_whole, next_frac
      slice = want > 0 and largest(subjects, want) or 0
      if slice > 0 then
        give(subjects, slice)
        outstanding = outstanding + slice
      end
    elseif outstanding > 0 and not fits and not peek then
      blame(subjects)
    end
    for subject = 1, subjects do
      if counts[subject] > 0 and (charge or mended[subject]) then
        write(subject, t, f)
      end
    end
    for limit = 1, limits do
      told = told .. pk('>I6I4', t[limit] - now, f[limit])
    end
    if slice > 0 then
      local second = subjects == 2 and serials[2] or 0
      told = told .. pk('>I3I3I5I2I2', (this_epoch + 2) * EPOCH - now, slice, this_epoch, serials[1], second)
    end
    if outstanding == 0 then
      return (fits and 'A' or 'L') .. told, next_place
    end
    return (slice > 0 and 'G' or fits and 'P' or 'O') .. slices_told(subjects) .. told, next_place
  end

  return decide
end
