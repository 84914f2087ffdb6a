-- Last part of the script that begins with `decide.lua`, where KEYS, ARGV and the Result are told:
-- decides entry by entry, and writes what has changed.

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
    local shape, tag = up('>BB', batch, at)
    at = at + 2
    local counts = { (shape % 32 - shape % 4) / 4, (shape - shape % 32) / 32 }
    local result = out[1 + entry]
    local code = type(result) == 'string' and sub(result, 1, 1)
    local allowed = code == 'A' or code == 'P' or code == 'G'
    local charge, broken = allowed and shape % 2 == 0, false
    for subject = 1, shape % 4 >= 2 and 2 or 1 do
      local record = up('>I2', batch, at)
      at = at + 9 + 21 * counts[subject]
      if counts[subject] > 0 and failed[record] then
        broken = broken or charge or charged[record]
        charged[record] = charged[record] or charge
      end
    end
    at = at + (tag >= 128 and LEASE_BYTES or 0)
    if broken and (allowed or code == 'L' or code == 'O') then
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
