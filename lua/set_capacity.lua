#!lua
--[[
set_capacity: raise or lower the capacity of tiers and pools while they are sold; with it, the
sale's end.

Guarantees   I1: what is added is available; no tier goes below its sold, held and blocked places,
             no pool below those that are sold and held of its tiers.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: capacities that are so already give the place of the last change.
Cost         O(commands + tiers); 3 reads and 3 writes per event, 2 reads and 1 write per call, and
             1 XADD per call. Where too much is held, up to 50 overdue holds are ended first.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string  one per event, in the order of KEYS
  then for each command, up to 128:
  3 event_no      int     1.. which of the events
  4 tiers         string  tier_no:capacity,... distinct tiers, 1..100, capacity 0..10000000; of a
                          pool p, its number from 1, and as much; behind a semicolon perhaps
                          another end of the sale, Unix ms

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                                a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                                  the event is not loaded
  EVENT_CANCELLED                              it was cancelled, which is final
  SALE_CLOSED           closes_at_ms           the end asked for has passed
  EVENT_ENDED           ends_at_ms             it is after the event's
  UNKNOWN_TIER          line                   or no such pool
  TIER_HAS_SEATS        line                   their number is its capacity
  REPLAYED              epoch, seq, at_ms      they are so already
  CAPACITY_BELOW_TAKEN  line, minimum          that many places are taken or blocked
  NOT_UPGRADED                                 of a pool, which records of version 1 cannot say
  BACKPRESSURE                                 transient: PostgreSQL is too far behind
  CAPACITY_SET          epoch, seq, at_ms, record    record: the JSON of what it journalled, the
                                               end of the sale in a line of its own

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `capacity_set`: tiers, pools; `reopened`: closes_at_ms; and `expired`
]]

-- Bind the capacities and the end that a command wants, and read the capacities there are; nil if
-- the word is not `tier_no:capacity,...` in bounds.
<<<<<<< HEAD
local function read_capacities(command)
  local wants, closes_at_ms = string.match(command[1], '^([%dp:,]+);?(%d*)$')
  if not wants or #closes_at_ms > 15 then return nil end
  command.closes_at_ms = tonumber(closes_at_ms)
  local event, seen, chars = command.event, {}, -1
  local tiers, fields, tier_nos = {}, {}, {}
  event.capacity = event.capacity or {}
  for name, text in string.gmatch(wants, '(p?[1-9]%d*):(%d+)') do
    local capacity, pool_no = tonumber(text), string.match(name, '^p(%d+)')
    if seen[name] or #tiers >= 200 or capacity > 10000000 then return nil end
    seen[name] = true
    tiers[#tiers + 1] = { tier_no = name, pool_no = tonumber(pool_no), capacity = capacity }
    if not pool_no then
      tier_nos[name] = true
      fields[#fields + 1] = name .. '.capacity'
    end
    chars = chars + #name + #text + 2
=======
local function bind_capacities(command)
  local wants, closes_at_ms = string.match(command[1], '^([%d:,]+);?(%d*)$')
  if not wants or #closes_at_ms > 15 then return nil end
  command.closes_at_ms = tonumber(closes_at_ms)
  local seen, chars, tiers = {}, -1, {}
  for tier_no, text in string.gmatch(wants, '([1-9]%d*):(%d+)') do
    local capacity = tonumber(text)
    if seen[tier_no] or #tiers >= 100 or capacity > 10000000 then return nil end
    seen[tier_no] = true
    tiers[#tiers + 1] = { tier_no = tier_no, capacity = capacity }
    chars = chars + #tier_no + #text + 2
>>>>>>> client14
  end
  if #tiers == 0 or #fields > 100 or chars ~= #wants then return nil end
  command.tiers = tiers
<<<<<<< HEAD
  read_stock(event, tier_nos)
  if event.pools then
    for _, pool in ipairs(event.pools) do tier_nos[pool.tier_nos[1]] = true end
    read_stock(event, tier_nos)
  end
  local found = #fields > 0 and redis.call('HMGET', event.stock, unpack(fields)) or {}
  for n, field in ipairs(fields) do
    event.capacity[string.match(field, '^%d+')] = tonumber(found[n])
  end
  for pool_no, pool in ipairs(event.pools or {}) do
    event.capacity['p' .. pool_no] = pool.capacity
  end
  return tiers
end

-- Tell how many places are taken of what a command wants to be larger or smaller, and how many of
-- these are held.
local function taken_now(event, want)
  if want.pool_no then return taken_of(event, event.pools[want.pool_no]) end
  local tier = event.tiers[want.tier_no]
  return event.capacity[want.tier_no] - tier.available, tier.held
end

-- Set the capacity of a pool; of its tiers, parties may be too large from now on.
local function set_pool(event, want)
  local pool = event.pools[want.pool_no]
  for _, tier_no in ipairs(pool.tier_nos) do
    local tier = event.tiers[tier_no]
    tier.is_smaller = tier.is_smaller or want.capacity < pool.capacity
=======
  read_capacities(command.event, tiers)
  return tiers
end

-- Set the capacities of tiers, and note it.
local function set_capacities(shard, event, wants)
  local rows, fields = {}, {}
  for n, want in ipairs(wants) do
    resize(event, want)
    local text = string.format('%.0f', want.capacity)
    fields[n] = { want.tier_no .. '.capacity', text }
    rows[n] = '[' .. want.tier_no .. ',' .. text .. ']'
>>>>>>> client14
  end
  pool.capacity = want.capacity
end

-- Write the pools of an event as their rule.
local function write_pools(event)
  local words = {}
  for n, pool in ipairs(event.pools) do
    words[n] = 'p' .. string.format('%.0f', pool.capacity) .. pool.word
  end
  return table.concat(words)
end

-- Set the capacities of tiers and pools; what is added is available, what is taken away was.
local function set_capacities(shard, event, wants)
  local rows, fields, pools = {}, {}, nil
  for _, want in ipairs(wants) do
    if want.pool_no then
      set_pool(event, want)
      pools = write_pools(event)
    else
      local tier = event.tiers[want.tier_no]
      tier.available = tier.available + want.capacity - event.capacity[want.tier_no]
      tier.is_changed = true
      tier.is_smaller = tier.is_smaller or want.capacity < event.capacity[want.tier_no]
      local text = string.format('%.0f', want.capacity)
      fields[#fields + 1] = { want.tier_no .. '.capacity', text }
      rows[#rows + 1] = '[' .. want.tier_no .. ',' .. text .. ']'
    end
    event.capacity[want.tier_no] = want.capacity
  end
  if pools then fields[#fields + 1] = { 'pools', pools } end
  return change_sale(shard, event, 'CAPACITY_SET', 'capacity_set',
    '"tiers":[' .. table.concat(rows, ',') .. ']' .. (pools and ',"pools":"' .. pools .. '"' or ''),
    fields)
end

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 2)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, event in ipairs(events) do read_sale(event) end
for _, command in ipairs(commands) do
  if not bind_capacities(command) then return redis.error_reply('BADARG tiers') end
end

-- Check. Decisions change the tables above and nothing else.
local function decide(command)
  local event, is_changed, closes_at_ms = command.event, false, command.closes_at_ms
  local has_pools = false
  if event.is_damaged then return { 'EVENT_DAMAGED' } end
  if not event.closes_at_ms then return { 'NOT_ON_SALE' } end
  if event.cancelled_at_ms then return { 'EVENT_CANCELLED' } end
  local refusal = closes_at_ms and refuse_until(shard, event, closes_at_ms)
  if refusal then return refusal end
  local is_moved = closes_at_ms and closes_at_ms ~= event.closes_at_ms
  for n, want in ipairs(command.tiers) do
<<<<<<< HEAD
    if not event.capacity[want.tier_no] then return { 'UNKNOWN_TIER', n } end
    -- The capacity of a seated tier is the number of its seats; block some to sell fewer.
    if not want.pool_no and event.tiers[want.tier_no].sections then
      return { 'TIER_HAS_SEATS', n }
    end
=======
    local unfit = refuse_tier(event, want, n)
    if unfit then return unfit end
>>>>>>> client14
    is_changed = is_changed or event.capacity[want.tier_no] ~= want.capacity
  end
  if not is_changed and not is_moved then return { 'REPLAYED', unpack(event.changed) } end
  for n, want in ipairs(command.tiers) do
<<<<<<< HEAD
    local taken, held = taken_now(event, want)
    if want.capacity < taken and held > 0 and not event.is_reclaimed then
      event.is_reclaimed = true
      reclaim(shard, event, 50)
      taken = taken_now(event, want)
    end
    if want.capacity < taken then return { 'CAPACITY_BELOW_TAKEN', n, taken } end
    has_pools = has_pools or want.pool_no
=======
    local too_small = refuse_smaller(shard, event, want, n)
    if too_small then return too_small end
>>>>>>> client14
  end
  if has_pools and records_version() < 2 then return { 'NOT_UPGRADED' } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  local reply = is_changed and set_capacities(shard, event, command.tiers)
  local moved = is_moved and sell_until(shard, event, 'CAPACITY_SET', closes_at_ms)
  -- Of two records the reply is that of the last, and tells both.
  if reply and moved then moved[5] = reply[5] .. '\n' .. moved[5] end
  return moved or reply
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = decide(command) end
promote(shard, events)

-- Apply.
apply(shard, events, due)
for _, event in ipairs(events) do write_rows('HSET', event.stock, event.sale_fields) end

-- Reply.
return replies
