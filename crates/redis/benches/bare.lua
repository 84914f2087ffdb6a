-- The least that a batch of exact decisions can do: one read, one addition, one write each. No
-- fence, no state id, no other limit, no way to tell a broken record. What decide.lua is held to.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local call, batch, out, at = redis.call, ARGV[1], {}, 1
local stored = call('MGET', unpack(KEYS))
for i = 1, #KEYS do
  local step, step_frac, period, burst
  step, step_frac, period, burst, at = struct.unpack('>I7I4I7I4', batch, at)
  local t, f = now, 0
  if stored[i] then
    t, f = struct.unpack('>I7I4', stored[i])
  end
  local brim = now + period
  if t < now then
    t, f = now, 0
  end
  local next_t, next_f = t + step, f + step_frac
  if next_f >= burst then
    next_t, next_f = next_t + 1, next_f - burst
  end
  if next_t > brim then
    out[i] = struct.pack('>i8I4', now - t - 1, f)
  else
    call('SET', KEYS[i], struct.pack('>I7I4I4', next_t, next_f, burst), 'PXAT', (next_t - next_t % 1000) / 1000 + 1)
    out[i] = struct.pack('>i8I4', next_t - now, next_f)
  end
end
return table.concat(out)
