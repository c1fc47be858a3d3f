#!lua
--[[
extend: move the deadlines of live holds, up to a longest life.

Guarantees   I11: only the owner extends, only a live hold, never beyond its longest life, and only
             while its places are sold. Where they get scarce, it is a shorter life.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  A deadline never moves back; repeating moves it from the time of the repetition.
Cost         O(commands); 6 reads and 2 writes per event, 1 read per command, 2 reads, 1 write and
             1 XADD per call.

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
  4 hold_id       string  which hold
  5 user_id       string  its owner
  6 ttl_ms        int     1.. how long, from Redis time
  7 life_max_ms   int     1.. longest life of a hold, from its beginning
  8 percent       int     0..100 share of a tier below which both are shorter; 0: never
  9 least_ms      int     0.. how short they may get

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                            a key of it is lost, and it is being rebuilt
  NOT_FOUND                                no such hold of that user
  HOLD_CONFIRMED                           it is a booking
  HOLD_RELEASED                            its owner gave it back
  HOLD_EXPIRED     expired_at_ms           its deadline has passed
  NOT_ON_SALE                              the event is not loaded
  EVENT_CANCELLED                          it was cancelled, which is final
  SALE_NOT_OPEN    opens_at_ms             transient
  SALE_CLOSED      closes_at_ms            of the event, or of a tier
  EVENT_ENDED      ends_at_ms
  EXTENSION_LIMIT  expires_at_ms           it has the longest life already
  BACKPRESSURE                             transient: PostgreSQL is too far behind
  EXTENDED         epoch, seq, at_ms, expires_at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `extended`: hold_id, user_id, expires_at_ms
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 7)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, command in ipairs(commands) do
  command.ttl_ms, command.life_max_ms = tonumber(command[3]), tonumber(command[4])
  command.percent, command.least_ms = tonumber(command[5]), tonumber(command[6])
  if not (command.ttl_ms and command.life_max_ms and command.percent and command.least_ms)
    or command.ttl_ms < 1 then
    return redis.error_reply('BADARG command')
  end
end
find_holds(events, commands)

-- Check. Decisions change the tables above and nothing else.
local function extend(command, hold)
  local event, lines, tier_nos = command.event, lines_of(hold.items), {}
  for _, line in ipairs(lines) do tier_nos[line.tier_no] = true end
  read_stock(event, tier_nos)
  local refusal = refuse_sale(shard, event)
  for _, line in ipairs(lines) do
    refusal = refusal or refuse_window(shard, event.tiers[line.tier_no])
  end
  if refusal then return refusal end
  if string.sub(hold.hold_id, 1, 6) == 'offer_' then
    return { 'EXTENSION_LIMIT', hold.expires_at_ms }
  end
  local ttl_ms, life_ms =
    shorten(event, lines, command.ttl_ms, command.percent, command.least_ms),
    shorten(event, lines, command.life_max_ms, command.percent, command.least_ms)
  local expires_at_ms =
    before_end(event, lines, math.min(shard.at_ms + ttl_ms, hold.at_ms + life_ms))
  if expires_at_ms <= hold.expires_at_ms then return { 'EXTENSION_LIMIT', hold.expires_at_ms } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  hold.expires_at_ms, hold.version = expires_at_ms, hold.version + 1
  local seq = note(shard, event, 'extended', '"hold_id":"' .. hold.hold_id .. '","user_id":"'
    .. hold.user_id .. '","expires_at_ms":' .. string.format('%.0f', expires_at_ms))
  keep_hold(shard, event, hold, seq)
  event.new_deadlines[hold.hold_id] = expires_at_ms
  return done(shard, 'EXTENDED', seq, expires_at_ms)
end

local replies = {}
for n, command in ipairs(commands) do
  local event = command.event
  local row = event.hold_of[command.hold_id]
  local hold = row and parse_hold(command.hold_id, row)
  if event.is_damaged then
    replies[n] = { 'EVENT_DAMAGED' }
  elseif not hold or hold.user_id ~= command.user_id then
    replies[n] = { 'NOT_FOUND' }
  elseif hold.status == 'confirmed' then
    replies[n] = { 'HOLD_CONFIRMED' }
  elseif hold.status == 'released' then
    replies[n] = { 'HOLD_RELEASED' }
  elseif hold.status == 'expired' or hold.expires_at_ms <= shard.at_ms then
    replies[n] = { 'HOLD_EXPIRED', hold.expires_at_ms }
  else
    replies[n] = extend(command, hold)
  end
end

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
