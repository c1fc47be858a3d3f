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
-- the word is not what it must be.
local function bind_command(command)
  local wants, closes_at_ms = string.match(command[1], '^([%dp:,]+);?(%d*)$')
  if not wants or #closes_at_ms > 15 then return nil end
  command.closes_at_ms = tonumber(closes_at_ms)
  command.wants = bind_capacities(wants)
  if command.wants then read_capacities(command.event, command.wants) end
  return command.wants
end

-- Set the capacities of tiers and pools, and note it.
local function set_capacities(shard, event, wants)
  local rows, fields, has_pools = {}, {}, false
  for _, want in ipairs(wants) do
    resize(event, want)
    if want.pool_no then
      has_pools = true
    else
      local text = string.format('%.0f', want.capacity)
      fields[#fields + 1] = { want.name .. '.capacity', text }
      rows[#rows + 1] = '[' .. want.name .. ',' .. text .. ']'
    end
  end
  local pools = has_pools and write_pools(event)
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
  if not bind_command(command) then return redis.error_reply('BADARG tiers') end
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
  for n, want in ipairs(command.wants) do
    local unfit = refuse_want(event, want, n)
    if unfit then return unfit end
    is_changed = is_changed or event.capacity[want.name] ~= want.capacity
  end
  if not is_changed and not is_moved then return { 'REPLAYED', unpack(event.changed) } end
  for n, want in ipairs(command.wants) do
    local too_small = refuse_smaller(shard, event, want, n)
    if too_small then return too_small end
    has_pools = has_pools or want.pool_no
  end
  if has_pools and records_version() < 2 then return { 'NOT_UPGRADED' } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  local reply = is_changed and set_capacities(shard, event, command.wants)
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
