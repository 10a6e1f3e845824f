-- What every script begins with: bytes and moments.
--
-- Everything that is sorted is bytes of a fixed length, sorted as bytes, in sorted
-- sets whose scores are all 0: a score is a double and holds no 64-bit number.
--   moment    8 bytes: microseconds since 1970, big-endian, with the sign bit turned
--   length    8 bytes: microseconds, big-endian
--   base      8 bytes: as a moment
--   version, token   6 bytes, big-endian
--   seq       8 bytes: a counter of the queue in 6, and the number of the queue
local sub, byte, char, rep = string.sub, string.byte, string.char, string.rep
local spack, sunpack = struct.pack, struct.unpack
local band, bor = bit.band, bit.bor
local floor, min, max = math.floor, math.min, math.max
local WORD = 4294967296
local NONE = rep(char(0), 8)
local NEVER = rep(char(255), 8)
-- Behind everything that begins with the same bytes.
local HIGH = rep(char(255), 64)
-- The base of a job with the rank 0.
local PLAIN = char(128) .. rep(char(0), 7)
-- Flags of a job; see `record`.
local ASKED, NEEDED, AGED, EXPIRES = 1, 2, 4, 8
local PARTITION, DEDUP, DEPENDS, LABELS = 16, 32, 64, 128
local PAYLOAD, RESULT, COURSE, PROGRESS = 1, 2, 4, 8
local STEPS, DROPPED, RUN = 16, 32, 64

-- Moment m plus a length.
local function later(m, length)
    local mh, ml = sunpack('>I4I4', m)
    local lh, ll = sunpack('>I4I4', length)
    local hi, lo = mh + lh, ml + ll
    if lo >= WORD then hi, lo = hi + 1, lo - WORD end
    if hi >= WORD then return NEVER end
    return spack('>I4I4', hi, lo)
end

-- Moment m less a length.
local function earlier(m, length)
    local mh, ml = sunpack('>I4I4', m)
    local lh, ll = sunpack('>I4I4', length)
    local hi, lo = mh - lh, ml - ll
    if lo < 0 then hi, lo = hi - 1, lo + WORD end
    if hi < 0 then return NONE end
    return spack('>I4I4', hi, lo)
end

-- Two signed numbers together, each with its sign bit turned.
local function sum(a, b)
    local ah, al = sunpack('>I4I4', a)
    local bh, bl = sunpack('>I4I4', b)
    local hi, lo = ah + bh - WORD / 2, al + bl
    if lo >= WORD then hi, lo = hi + 1, lo - WORD end
    if hi < 0 then return NONE end
    if hi >= WORD then return NEVER end
    return spack('>I4I4', hi, lo)
end

-- Whether moment a is before b. Lua compares texts by the server's locale, which is
-- not by their bytes.
local function is_before(a, b)
    local ah, al = sunpack('>I4I4', a)
    local bh, bl = sunpack('>I4I4', b)
    return ah < bh or (ah == bh and al < bl)
end

-- The number of 6 bytes that follows one; few are asked for again and again.
local following = {}
local function next_number(n)
    local found = following[n]
    if not found then
        found = spack('>I6', sunpack('>I6', n) + 1)
        following[n] = found
    end
    return found
end

-- The store's time: what the caller's manual clock says, or the server's.
local NOW = ARGV[1]
if NOW == '' then
    local time = redis.call('TIME')
    local micros = time[1] * 1000000 + time[2]
    local hi = floor(micros / WORD)
    NOW = spack('>I4I4', hi + WORD / 2, micros - hi * WORD)
end

-- A wish for a moment: n (now), a and a length (after), t and a moment (at).
local function resolve(kind, value)
    if kind == 'n' then return NOW end
    if kind == 'a' then return later(NOW, value) end
    if is_before(value, NOW) then return NOW end
    return value
end

-- HMGET, however many fields.
local function hmget(key, fields)
    local n = #fields
    if n == 0 then return {} end
    if n <= 1000 then return redis.call('HMGET', key, unpack(fields)) end
    local found = {}
    for from = 1, n, 1000 do
        local part = redis.call('HMGET', key, unpack(fields, from, min(from + 999, n)))
        for i = 1, #part do found[from + i - 1] = part[i] end
    end
    return found
end
