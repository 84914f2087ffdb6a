-- Second part of the script that begins with `decide.lua`, where KEYS, ARGV and the Result are told:
-- slices that are handed back and given, and requests that are refused because of them.

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
