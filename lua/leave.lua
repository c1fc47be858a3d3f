#!lua flags=allow-oom
--[[
leave: take people off the waitlist, or decline what they were offered meanwhile.

Guarantees   I9: who has left is passed by all; I10 an entry that is over stays over.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: an entry that is over gives the place of its end again.
Cost         O(commands); 6 reads and 7 writes per event, 2 reads, 1 write and 1 XADD
             per call. Up to 20 entries of a tier may be offered places that are free.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch          string  epoch[:seq] the caller believes in
  2 event_id       string  one per event, in the order of KEYS
  then for each command, up to 128:
  3 event_no       int     1.. which of the events
  4 entry_id       string  which entry
  5 user_id        string  its owner

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                       a key of it is lost, and it is being rebuilt
  NOT_FOUND                           no such entry of that user
  HOLD_CONFIRMED                      its offer was accepted: cancel the booking
  REPLAYED       epoch, seq, at_ms    over already: left, declined or expired
  BACKPRESSURE                        transient: PostgreSQL is too far behind
  LEFT           epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `left`: entry_id, user_id, tier_no, quantity, why; or `released` of the offer
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 3)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, event in ipairs(events) do event.ids, event.hold_ids, event.tier_nos = {}, {}, {} end
for _, command in ipairs(commands) do
  local event = command.event
  command.offer_id = 'offer_' .. string.sub(command[1], 4)
  event.ids[#event.ids + 1] = command[1]
  event.hold_ids[#event.hold_ids + 1] = command.offer_id
end
for _, event in ipairs(events) do
  for _, entry in ipairs(find_entries(event, event.ids)) do
    if entry then event.tier_nos[entry.tier_no] = true end
  end
  read_rows(event.holds, event.hold_ids, event.hold_of)
  read_stock(event, event.tier_nos)
end

-- Check. Decisions change the tables above and nothing else.
local function leave(command, entry)
  local event, seq = command.event, nil
  if entry.status == 'offered' then
    local hold = parse_hold(command.offer_id, event.hold_of[command.offer_id])
    seq = end_hold(shard, event, hold, 'released')
  else
    seq = leave_list(shard, event, entry, 'owner')
  end
  return done(shard, 'LEFT', seq)
end

local replies = {}
for n, command in ipairs(commands) do
  local entry = find_entries(command.event, { command[1] })[1]
  if command.event.is_damaged then
    replies[n] = { 'EVENT_DAMAGED' }
  elseif not entry or entry.user_id ~= command[2] then
    replies[n] = { 'NOT_FOUND' }
  elseif entry.status == 'accepted' then
    replies[n] = { 'HOLD_CONFIRMED' }
  elseif entry.status ~= 'waiting' and entry.status ~= 'offered' then
    replies[n] = { 'REPLAYED', entry.changed_epoch, entry.changed_seq, entry.changed_at_ms }
  elseif shard.room < 1 then
    replies[n] = { 'BACKPRESSURE' }
  else
    replies[n] = leave(command, entry)
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
