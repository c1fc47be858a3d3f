-- Holds: read, kept and ended.

-- Read a hold as it is kept: `status version epoch seq at_ms user_id fingerprint items
-- expires_at_ms changed_epoch changed_seq detail`. Status is held, released, expired or confirmed;
-- changed_* is the place of its last record; detail is JSON.
local function parse_hold(hold_id, row)
  local w = { string.match(row, '^' .. string.rep('(%S+) ', 11) .. '(.+)$') }
  return {
    hold_id = hold_id, status = w[1], version = tonumber(w[2]), epoch = w[3], seq = w[4],
    at_ms = tonumber(w[5]), user_id = w[6], fingerprint = w[7], items = w[8],
    expires_at_ms = tonumber(w[9]), detail = w[12],
  }
end

-- Keep a hold in its present state, changed by record `seq`; the counterpart of `parse_hold`.
local function keep_hold(shard, event, hold, seq)
  local row = table.concat({ hold.status, hold.version, hold.epoch, hold.seq, hold.at_ms,
    hold.user_id, hold.fingerprint, hold.items, string.format('%.0f', hold.expires_at_ms),
    shard.epoch, seq, hold.detail }, ' ')
  event.hold_of[hold.hold_id] = row
  event.new_holds[hold.hold_id] = row
end

-- Read the holds and the bookings that commands name, `command[1]` being a hold_id and `command[2]`
-- its owner. A hold and the booking it becomes share all but the prefix of their ids.
local function find_holds(events, commands)
  for _, event in ipairs(events) do event.hold_ids, event.booking_ids = {}, {} end
  for _, command in ipairs(commands) do
    local event = command.event
    command.hold_id, command.user_id = command[1], command[2]
    command.booking_id = 'bk_' .. (string.match(command.hold_id, '_(.*)') or '')
    event.hold_ids[#event.hold_ids + 1] = command.hold_id
    event.booking_ids[#event.booking_ids + 1] = command.booking_id
  end
  for _, event in ipairs(events) do
    read_rows(event.holds, event.hold_ids, event.hold_of)
    read_bookings(event, event.booking_ids)
  end
end

-- End a live hold as `released` or `expired`: its places are available again, its person's count
-- goes down. Its row stays for a while, so that a repeated request finds how it ended. `reason` is
-- why it was released, if not by its owner's wish; version 1 has no word for that.
local function end_hold(shard, event, hold, status, reason)
  local lines, places, rows = lines_of(hold.items)
  move(event, lines, 'held', 'available', hold.user_id, -places)
  use_promo(event, hold.fingerprint, -1)
  local seq = note(shard, event, status, '"hold_id":"' .. hold.hold_id .. '","user_id":"'
    .. hold.user_id .. '","items":' .. rows .. (reason and ',"reason":"' .. reason .. '"' or ''))
  hold.status, hold.version = status, hold.version + 1
  keep_hold(shard, event, hold, seq)
  end_offer(shard, event, hold, seq, reason)
  event.old_deadlines[#event.old_deadlines + 1] = hold.hold_id
  event.new_deadlines[hold.hold_id] = nil
  event.new_ended[hold.hold_id] = shard.at_ms
  return seq
end

-- End the event's overdue holds, the oldest first, at most `holds_max`; return how many. Called by
-- the sweeper, and by a sale that finds too little left: a hold's end never waits for the sweeper.
-- The first to run out are looked at first, and kept for `returns_in`: mostly nothing is overdue.
local function reclaim(shard, event, holds_max)
  event.next_holds = redis.call('ZRANGEBYSCORE', event.deadlines, '-inf', '(+inf', 'WITHSCORES',
    'LIMIT', 0, 8)
  if tonumber(event.next_holds[2] or math.huge) > shard.at_ms then return 0 end
  local ids = redis.call('ZRANGEBYSCORE', event.deadlines, '-inf', shard.at_ms,
    'LIMIT', 0, holds_max)
  local rows = {}
  read_rows(event.holds, ids, rows)
  local count = 0
  for _, hold_id in ipairs(ids) do
    -- A hold that this batch has ended or extended is in `hold_of`, newer than what was read.
    local row = event.hold_of[hold_id] or rows[hold_id]
    local hold = row and parse_hold(hold_id, row)
    if hold and hold.status == 'held' and hold.expires_at_ms <= shard.at_ms and shard.room > 0 then
      end_hold(shard, event, hold, 'expired')
      count = count + 1
    end
  end
  return count
end

-- End holds that were made by a clock which was ahead by up to `ahead_ms` and has been set back
-- since, and that are overdue by that clock; at most `holds_max`. Return how many. They seem to be
-- made later than now, and are the last of the event to run out.
local function reclaim_ahead(shard, event, ahead_ms, holds_max)
  local first, last = '(' .. shard.at_text, string.format('%.0f', shard.at_ms + ahead_ms)
  local ids = redis.call('ZRANGE', event.deadlines, last, first, 'BYSCORE', 'REV',
    'LIMIT', 0, holds_max)
  local rows, count = {}, 0
  read_rows(event.holds, ids, rows)
  for _, hold_id in ipairs(ids) do
    local hold = rows[hold_id] and parse_hold(hold_id, rows[hold_id])
    if hold and hold.status == 'held' and hold.at_ms > shard.at_ms and shard.room > 0 then
      end_hold(shard, event, hold, 'expired')
      count = count + 1
    end
  end
  return count
end

-- Tell in how many ms a live hold runs out: never in more than it was made for, whatever has become
-- of the clock since (F58).
local function left_of(shard, hold)
  return math.min(hold.expires_at_ms - shard.at_ms, hold.expires_at_ms - hold.at_ms)
end

-- Tell whether items have places of a tier, or of one that shares places with it.
local function has_places_of(items, tier_no, pool)
  local tier_nos = pool and pool.tier_nos or { tier_no }
  for n = 1, #tier_nos do
    if string.find(',' .. items, ',' .. tier_nos[n] .. ':', 1, true) then return true end
  end
  return false
end

-- Tell in how many ms the first of some holds with places of a tier, or of its pool, runs out; nil
-- if none of them has any. It is below 0 where that one is overdue.
local function soonest_end(shard, event, ids, tier_no, pool)
  local soonest = math.huge
  for n = 1, #ids do
    local row = event.hold_of[ids[n]]
    local hold = row and parse_hold(ids[n], row)
    if hold and hold.status == 'held' and has_places_of(hold.items, tier_no, pool) then
      soonest = math.min(soonest, left_of(shard, hold))
    end
  end
  return soonest < math.huge and soonest or nil
end

-- Tell in how many ms the next hold with places of a tier runs out, the earliest that one may
-- return by itself; for a tier whose overdue holds were just reclaimed. Nil where people wait, who
-- get what returns, and where it is not known: among the 8 holds of the event that run out first,
-- none has places of the tier, or of its pool. One read for all tiers of an event and call.
local function returns_in(shard, event, tier_no)
  local tier = event.tiers[tier_no]
  if is_kept(shard, event, tier) then return nil end
  if tier.returns_in_ms ~= nil then return tier.returns_in_ms or nil end
  local next_holds, missing, ids = event.next_holds or {}, {}, {}
  for n = 1, #next_holds, 2 do
    if tonumber(next_holds[n + 1]) > shard.at_ms then
      ids[#ids + 1] = next_holds[n]
      if event.hold_of[next_holds[n]] == nil then missing[#missing + 1] = next_holds[n] end
    end
  end
  read_rows(event.holds, missing, event.hold_of)
  for hold_id in pairs(event.new_deadlines) do ids[#ids + 1] = hold_id end
  -- Where the tier itself has none left, a place of another of its pool is none of it.
  local pool = tier.available > 0 and tier.pool or nil
  tier.returns_in_ms = soonest_end(shard, event, ids, tier_no, pool) or false
  return tier.returns_in_ms or nil
end
