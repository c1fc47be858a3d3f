-- Those who wait: read, kept, and offered what comes free.

-- Read a waitlist entry as it is kept: `status version epoch seq at_ms user_id fingerprint tier_no
-- quantity join_no stalled_at_ms changed_epoch changed_seq changed_at_ms`. Status is waiting,
-- offered, accepted, declined, expired or left; join_no has twelve digits and orders a tier's list.
local function parse_entry(entry_id, row)
  local w = { string.match(row, '^(%S+)' .. string.rep(' (%S+)', 13) .. '$') }
  return {
    entry_id = entry_id, status = w[1], version = tonumber(w[2]), epoch = w[3], seq = w[4],
    at_ms = w[5], user_id = w[6], fingerprint = w[7], tier_no = w[8], quantity = tonumber(w[9]),
    join_no = w[10], stalled_at_ms = tonumber(w[11]), changed_epoch = w[12], changed_seq = w[13],
    changed_at_ms = w[14], member = string.format('%03d:%s:%s', w[8], w[10], entry_id),
  }
end

-- Keep a waitlist entry in its present state, changed by record `seq`; the counterpart of
-- `parse_entry`. Whoever no longer waits leaves the tier's list and its count.
local function keep_entry(shard, event, entry, seq)
  local row = table.concat({ entry.status, entry.version, entry.epoch, entry.seq, entry.at_ms,
    entry.user_id, entry.fingerprint, entry.tier_no, entry.quantity, entry.join_no,
    string.format('%.0f', entry.stalled_at_ms), shard.epoch, seq, shard.at_ms }, ' ')
  event.entry_of[entry.entry_id], event.new_entries[entry.entry_id] = row, row
  if entry.is_waiting == (entry.status == 'waiting') then return end
  entry.is_waiting = entry.status == 'waiting'
  if event.tiers[entry.tier_no] == nil then read_stock(event, { [entry.tier_no] = true }) end
  local tier = event.tiers[entry.tier_no]
  tier.waiting, tier.has_waited = tier.waiting + (entry.is_waiting and 1 or -1), true
  event.is_waiting[entry.member] = entry.is_waiting
end

-- Read some waitlist entries, in one call, unless this batch has them already.
local function find_entries(event, ids)
  local missing, found = {}, {}
  for _, id in ipairs(ids) do
    if event.entry_of[id] == nil then missing[#missing + 1] = id end
  end
  read_rows(event.entries, missing, event.entry_of)
  for n, id in ipairs(ids) do
    local row = event.entry_of[id]
    found[n] = row and parse_entry(id, row)
    if row then found[n].is_waiting = found[n].status == 'waiting' end
  end
  return found
end

-- Lead a waitlist entry to where its offer went: an offer is a hold, used once and then over, and
-- the entry with it. Nothing happens for other holds.
local function end_offer(shard, event, hold, seq)
  if string.sub(hold.hold_id, 1, 6) ~= 'offer_' then return end
  local entry = find_entries(event, { 'wl_' .. string.sub(hold.hold_id, 7) })[1]
  if not entry then return end
  local ends = { released = 'declined', expired = 'expired', confirmed = 'accepted' }
  entry.status, entry.version = ends[hold.status], entry.version + 1
  keep_entry(shard, event, entry, seq)
end

-- Take a waiting entry off the list: `left` by its owner, or because of their `limit`.
local function leave_list(shard, event, entry, why)
  local seq = note(shard, event, 'left', '"entry_id":"' .. entry.entry_id .. '","user_id":"'
    .. entry.user_id .. '","tier_no":' .. entry.tier_no .. ',"quantity":' .. entry.quantity
    .. ',"why":"' .. why .. '"')
  entry.status, entry.version = 'left', entry.version + 1
  keep_entry(shard, event, entry, seq)
  return seq
end

-- Set free places aside for a waiting entry: an offer is a hold, made at once with what freed the
-- places. `passed` are the entries before it that it passes, and `reason` says why it may. Of a
-- seated tier `seats` are the ones it gets.
local function offer(shard, event, entry, rules, passed, seats)
  local tier = event.tiers[entry.tier_no]
  local offer_id = 'offer_' .. string.sub(entry.entry_id, 4)
  local price = string.format('%.0f', tier.price_minor)
  local expires_at_ms = shard.at_ms + rules.offer_ttl_ms
  local reason = rules.policy == 'skip' and 'skip' or 'patience'
  local items = entry.tier_no .. ':' .. entry.quantity .. ':' .. price
    .. (seats and ':' .. seats or '')
  local lines, _, rows = lines_of(items)
  move(event, lines, 'available', 'held', entry.user_id, entry.quantity)
  local seq = note(shard, event, 'offered', '"entry_id":"' .. entry.entry_id .. '","hold_id":"'
    .. offer_id .. '","user_id":"' .. entry.user_id .. '","fingerprint":"' .. entry.fingerprint
    .. '","items":' .. rows .. ',"expires_at_ms":' .. string.format('%.0f', expires_at_ms)
    .. ',"join_no":"' .. entry.join_no .. '","cause_seq":' .. rules.cause_seq .. ',"reason":"'
    .. (passed[1] and reason or 'turn') .. '","passed":['
    .. (passed[1] and '"' .. table.concat(passed, '","') .. '"' or '') .. ']')
  keep_hold(shard, event, { hold_id = offer_id, status = 'held', version = 1, epoch = shard.epoch,
    seq = seq, at_ms = shard.at_ms, user_id = entry.user_id, fingerprint = entry.fingerprint,
    items = items, expires_at_ms = expires_at_ms, detail = '{}' }, seq)
  event.new_deadlines[offer_id] = expires_at_ms
  entry.status, entry.version = 'offered', entry.version + 1
  keep_entry(shard, event, entry, seq)
end

-- Tell whether those behind an entry whose party does not fit may pass it. Under `skip` always;
-- under `strict` once its patience has run out, which is counted from when it first did not fit.
local function may_pass(shard, event, entry, rules)
  if rules.policy == 'skip' then return true end
  if entry.stalled_at_ms == 0 then
    entry.stalled_at_ms = shard.at_ms
    local seq = note(shard, event, 'stalled', '"entry_id":"' .. entry.entry_id .. '","user_id":"'
      .. entry.user_id .. '","tier_no":' .. entry.tier_no .. ',"quantity":' .. entry.quantity
      .. ',"available":' .. string.format('%.0f', event.tiers[entry.tier_no].available))
    keep_entry(shard, event, entry, seq)
  end
  local until_ms = entry.stalled_at_ms + rules.patience_ms
  if until_ms > shard.at_ms then event.wake_at_ms = math.min(event.wake_at_ms, until_ms) end
  return until_ms <= shard.at_ms
end

-- Read the first of those who wait for a tier, in their order, at most 20, with what they have of
-- the event. Those who came or went in this batch are counted as they are now.
local function read_heads(event, tier_no)
  local first, behind = string.format('%03d:', tier_no), string.format('%03d;', tier_no)
  local members = redis.call('ZRANGEBYLEX', event.waitlist, '[' .. first, '(' .. behind,
    'LIMIT', 0, 20)
  for member, is_waiting in pairs(event.is_waiting) do
    if is_waiting and string.sub(member, 1, 4) == first then members[#members + 1] = member end
  end
  table.sort(members)
  local ids, user_ids = {}, {}
  for _, member in ipairs(members) do
    if event.is_waiting[member] ~= false and #ids < 20 then
      ids[#ids + 1] = string.sub(member, 18)
    end
  end
  local heads = find_entries(event, ids)
  for _, entry in ipairs(heads) do
    if event.taken[entry.user_id] == nil then user_ids[#user_ids + 1] = entry.user_id end
  end
  read_rows(event.persons, user_ids, event.taken)
  return heads
end

-- Offer the free places of one tier to those who wait for it, in their order; at most 20 entries
-- are looked at. Of a seated tier a party gets the best seats there are, side by side if possible;
-- those that are kept back do not count. Where more could be offered, the sweeper is called at
-- once; where the journal has no room, a little later.
local function promote_tier(shard, event, tier_no, tier, rules)
  local heads, passed, is_moved = read_heads(event, tier_no), {}, false
  for _, entry in ipairs(heads) do
    local fits, seats = entry.quantity <= tier.available, nil
    if fits and tier.sections then
      seats = best_seats(event, tier, { quantity = entry.quantity, wish = 'best,split' })
      fits = seats ~= nil
    end
    if tier.available < 1 or shard.room < 1 then break end
    local had = tier_taken(event, tier_no, entry.user_id)
    if tonumber(event.taken[entry.user_id] or 0) + entry.quantity > event.person_max
      or (had and had + entry.quantity > tier.person_max) then
      leave_list(shard, event, entry, 'limit')
      is_moved = true
    elseif fits then
      offer(shard, event, entry, rules, passed, seats)
      is_moved = true
    elseif may_pass(shard, event, entry, rules) then
      passed[#passed + 1] = entry.entry_id
    else
      break
    end
  end
  if shard.room < 1 then event.wake_at_ms = math.min(event.wake_at_ms, shard.at_ms + 1000) end
  if is_moved and #heads == 20 then event.wake_at_ms = shard.at_ms end
end

-- Offer the free places of each tier that was read to those who wait for it, in their order: the
-- one hook of all scripts that may have freed places, called once, before `apply`. At most 20
-- entries of a tier are looked at (`promote_tier`).
local function promote(shard, events)
  for _, event in ipairs(events) do
    local cause_seq = event.noted_seq or 0
    for tier_no, tier in pairs(event.tiers) do
      if not event.is_damaged and tier and tier.waiting > 0 and tier.available > 0
        and shard.at_ms < event.closes_at_ms
        and (tier.closes_at_ms == 0 or shard.at_ms < tier.closes_at_ms) then
        if not event.rules then
          -- Kept since somebody joined, so that the scripts that free places need not be told.
          local kept = redis.call('HMGET', event.stock, 'waitlist.policy', 'waitlist.patience_ms',
            'waitlist.offer_ttl_ms')
          event.rules = { policy = kept[1], patience_ms = tonumber(kept[2]),
            offer_ttl_ms = tonumber(kept[3]) }
        end
        event.rules.cause_seq = cause_seq
        promote_tier(shard, event, tier_no, tier, event.rules)
      end
    end
  end
end
