-- Last part of the script that begins with `decide.lua`, where KEYS, ARGV and the Result are told:
-- decides entry by entry, and writes what has changed.

local decide = swaps > 0 and decide_any() or nil

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
    decide = decide or decide_any()
    result, at = decide(shape, tag, at + 2)
  end
  out[1 + entry] = result
end

-- Writes. Most records of a call end at one of a few instants, and the server is slow to write out a
-- number with a fraction, which is what it takes all of Lua's for.
local failed = nil
local noted, noted_text
for place = 1, changes do
  local record = changed[place]
  local expires, done = expiry[record], nil
  if expires then
    if expires ~= noted then
      noted, noted_text = expires, string.format('%.0f', expires)
    end
    done = pcall_redis('SET', KEYS[record], stored[record], 'PXAT', noted_text)
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
    at = at + (tag >= 128 and 18 or 0)
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
