#!lua flags=no-writes
--[[
availability: what is left of each tier of some events, at one moment of the journal.

Guarantees   I1: all counters of one event are of the same moment. A hidden tier is told only with a
             promo code that unlocks it.
Atomicity    Reads only.
Idempotency  Nothing changes.
Cost         O(events * tiers); 2 reads per call, 1 per event, and 1 more where tiers are hidden.

KEYS (one hash tag: the shard's; 2..3 repeat for each event, up to 128)
  1 meta      hash    epoch, state, seq, persisted_seq, backlog_max   read
  2 stock     hash    the event's stock                               read
  3 promos    hash    promo codes and their uses                      read

ARGV
  1 epoch     string  epoch[:seq] the caller believes in
  2 code      string  one per event: a promo code, empty for none, or * for all

Returns one array per event, in order (first that applies)
  EVENT_DAMAGED                   a key of it is lost, and it is being rebuilt
  NOT_ON_SALE
  STOCK       seq, at_ms, field, value, field, value, ...   behind what is kept, of each pool
                                  p1.left and p1.returning: what its tiers have left together, and
                                  what of them is held

Errors       FENCED epoch state: the door is shut.
Emits        nothing
]]

-- Bind.
local meta = KEYS[1]
local epoch, seen_seq = read_epoch(ARGV[1])

-- Fence.
local shard, shut = enter(meta, nil, epoch, seen_seq)
if shut then return shut end

-- Reply.
local function unlocked(fields, promos, code)
  local told, event = {}, { promos = promos }
  for n = 1, #fields, 2 do
    if fields[n] == 'hidden' then event.hidden = fields[n + 1] end
  end
  if code == '*' or not event.hidden then return fields end
  for n = 1, #fields, 2 do
    local tier_no = string.match(fields[n], '^(%d+)%.')
    if not (tier_no and is_locked(event, tier_no, '~' .. code)) and fields[n] ~= 'hidden' then
      told[#told + 1], told[#told + 2] = fields[n], fields[n + 1]
    end
  end
  return told
end

-- Tell what is left of each pool, from the fields of all tiers: also of those that are not told.
local function add_pools(fields, told)
  local event, figure = { tiers = {} }, {}
  for n = 1, #fields, 2 do figure[fields[n]] = fields[n + 1] end
  if not figure.pools then return told end
  bind_pools(event, figure.pools)
  for tier_no in pairs(event.pool_of) do
    event.tiers[tier_no] =
      { held = figure[tier_no .. '.held'] or 0, sold = figure[tier_no .. '.sold'] or 0 }
  end
  for pool_no, pool in ipairs(event.pools) do
    local taken, held = taken_of(event, pool)
    local left = math.max(0, pool.capacity - taken)
    told[#told + 1], told[#told + 2] = 'p' .. pool_no .. '.left', string.format('%.0f', left)
    told[#told + 1], told[#told + 2] = 'p' .. pool_no .. '.returning', string.format('%.0f', held)
  end
  return told
end

local replies = {}
for i = 1, (#KEYS - 1) / 2 do
  local stock, promos, code = KEYS[2 * i], KEYS[2 * i + 1], ARGV[1 + i]
  local fields = redis.call('HGETALL', stock)
  if #fields == 0 and redis.call('HEXISTS', promos, '!') == 1 then
    replies[i] = { 'EVENT_DAMAGED' }
  elseif #fields == 0 then
    replies[i] = { 'NOT_ON_SALE' }
  else
    replies[i] = { 'STOCK', string.format('%.0f', shard.seq), shard.at_ms,
      unpack(add_pools(fields, unlocked(fields, promos, code))) }
  end
end
return replies
