#!lua flags=no-writes
--[[
availability: what is left of each tier of some events, at one moment of the journal.

Guarantees   I1: all counters of one event are of the same moment. A hidden tier is told only with a
             promo code that unlocks it.
Atomicity    Reads only.
Idempotency  Nothing changes.
Cost         O(events * tiers); 2 reads per call, 1 per event, and 1 more where tiers are hidden.
             Where a tier is all held, 2 more of the event, of the 50 holds that run out first.

KEYS (one hash tag: the shard's; 2..5 repeat for each event, up to 128)
  1 meta      hash    epoch, state, seq, persisted_seq, backlog_max   read
  2 stock     hash    the event's stock                               read
  3 promos    hash    promo codes and their uses                      read
  4 holds     hash    hold_id -> hold, see docs/DATA.md               read
  5 deadlines zset    hold_id -> expires_at_ms, of live holds         read

ARGV
  1 epoch     string  epoch[:seq] the caller believes in
  2 code      string  one per event: a promo code, empty for none, or * for all

Returns one array per event, in order (first that applies)
  EVENT_DAMAGED                   a key of it is lost, and it is being rebuilt
  NOT_ON_SALE
  STOCK       seq, at_ms, field, value, field, value, ...   behind what is kept, of each pool
                                  p1.left and p1.returning: what its tiers have left together, and
                                  what of them is held; and of each tier told that is all held,
                                  where nobody waits for it or for one of its pool, and where one
                                  of those 50 holds has places of it: <tier_no>.returns_at_ms, when
                                  the first of its holds runs out

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
local function add_pools(event, figure, told)
  if not figure.pools then return end
  bind_pools(event, figure.pools)
  for tier_no in pairs(event.pool_of) do
    event.tiers[tier_no] =
      { held = figure[tier_no .. '.held'] or 0, sold = figure[tier_no .. '.sold'] or 0 }
  end
  for pool_no, pool in ipairs(event.pools) do
    local taken, held = taken_of(event, pool)
    pool.left, pool.held = math.max(0, pool.capacity - taken), held
    told[#told + 1], told[#told + 2] = 'p' .. pool_no .. '.left', string.format('%.0f', pool.left)
    told[#told + 1], told[#told + 2] = 'p' .. pool_no .. '.returning', string.format('%.0f', held)
  end
end

-- Tell whether somebody waits for a tier, or for one that shares places with it.
local function is_waited_for(figure, tier_no, pool)
  for _, mate_no in ipairs(pool and pool.tier_nos or { tier_no }) do
    if tonumber(figure[mate_no .. '.waiting'] or 0) > 0 then return true end
  end
  return false
end

-- Tell when the first place of each tier that is all held may return. Where the tier itself has
-- none left, only its own holds give one back; else those of its pool do. Of what is sold, and not
-- held, nothing is read: crowds ask for that.
local function add_returns(event, figure, told)
  local ids
  for n = 1, #told, 2 do
    local tier_no = string.match(told[n], '^(%d+)%.available$')
    local pool = tier_no and event.pool_of and event.pool_of[tier_no]
    local is_full = tier_no and tonumber(told[n + 1]) == 0
    if is_full or (pool and pool.left == 0) then
      local from = not is_full and pool or nil
      local held = from and pool.held or tonumber(figure[tier_no .. '.held'] or 0)
      if held > 0 and not is_waited_for(figure, tier_no, pool) then
        if not ids then
          ids = redis.call('ZRANGEBYSCORE', event.deadlines, '-inf', '(+inf', 'LIMIT', 0, 50)
          read_rows(event.holds, ids, event.hold_of)
        end
        local in_ms = soonest_end(shard, event, ids, tier_no, from)
        if in_ms then
          told[#told + 1] = tier_no .. '.returns_at_ms'
          told[#told + 1] = string.format('%.0f', shard.at_ms + in_ms)
        end
      end
    end
  end
end

-- Add what follows from the fields of an event to those of them that are told.
local function add_derived(event, fields, told)
  local figure = {}
  for n = 1, #fields, 2 do figure[fields[n]] = fields[n + 1] end
  add_pools(event, figure, told)
  if not figure.cancelled_at_ms then add_returns(event, figure, told) end
  return told
end

local replies = {}
for i = 1, (#KEYS - 1) / 4 do
  local stock, promos, code = KEYS[4 * i - 2], KEYS[4 * i - 1], ARGV[1 + i]
  local event = { tiers = {}, hold_of = {}, holds = KEYS[4 * i], deadlines = KEYS[4 * i + 1] }
  local fields = redis.call('HGETALL', stock)
  if #fields == 0 and redis.call('HEXISTS', promos, '!') == 1 then
    replies[i] = { 'EVENT_DAMAGED' }
  elseif #fields == 0 then
    replies[i] = { 'NOT_ON_SALE' }
  else
    replies[i] = { 'STOCK', string.format('%.0f', shard.seq), shard.at_ms,
      unpack(add_derived(event, fields, unlocked(fields, promos, code))) }
  end
end
return replies
