-- Those who wait: read, kept, and offered what comes free.

-- Read a waitlist entry as it is kept: `status version epoch seq at_ms user_id fingerprint tier_no
-- quantity join_no stalled_at_ms changed_epoch changed_seq changed_at_ms`. Status is waiting,
-- offered, accepted, declined, expired, left, or why it ended otherwise: limit, too_large,
-- event_cancelled. join_no has twelve digits and orders a tier's list.
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
  tier.least_party = nil
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

-- Find the entries of a person in all tiers of an event, the last one of each.
local function entries_of(event, user_id)
  if not event.tier_count then
    event.tier_count = tonumber(redis.call('HGET', event.stock, 'tier_count') or 0)
  end
  event.pointers = event.pointers or {}
  local names, missing, ids = {}, {}, {}
  for tier_no = 1, event.tier_count do
    names[tier_no] = string.format('%d:%s', tier_no, user_id)
    if event.pointers[names[tier_no]] == nil then missing[#missing + 1] = names[tier_no] end
  end
  read_rows(event.entries, missing, event.pointers)
  for _, name in ipairs(names) do ids[#ids + 1] = event.pointers[name] or nil end
  return find_entries(event, ids)
end

-- Lead a waitlist entry to where its offer went: an offer is a hold, used once and then over, and
-- the entry with it; `reason` says why it ended if it was nobody's wish. Nothing happens for other
-- holds. Where else its owner waits, `promote` looks again: they may have been passed over for it.
local function end_offer(shard, event, hold, seq, reason)
  if string.sub(hold.hold_id, 1, 6) ~= 'offer_' then return end
  local entry = find_entries(event, { 'wl_' .. string.sub(hold.hold_id, 7) })[1]
  if not entry then return end
  local ends = { released = 'declined', expired = 'expired', confirmed = 'accepted' }
  entry.status, entry.version = reason or ends[hold.status], entry.version + 1
  keep_entry(shard, event, entry, seq)
  if reason or records_version() < 2 then return end
  for _, other in ipairs(entries_of(event, entry.user_id)) do
    if other and other.is_waiting and event.tiers[other.tier_no] == nil then
      read_stock(event, { [other.tier_no] = true })
    end
  end
end

-- Take a waiting entry off the list: `left` by its owner, or `why` else. Version 1 has no words but
-- `left` for how it ended.
local function leave_list(shard, event, entry, why)
  local seq = note(shard, event, 'left', '"entry_id":"' .. entry.entry_id .. '","user_id":"'
    .. entry.user_id .. '","tier_no":' .. entry.tier_no .. ',"quantity":' .. entry.quantity
    .. ',"why":"' .. why .. '"')
  entry.status = (why == 'owner' or records_version() < 2) and 'left' or why
  entry.version = entry.version + 1
  keep_entry(shard, event, entry, seq)
  return seq
end

-- Tell how long an offer lasts, in ms: as the event says; else a hundredth of the time until the
-- sale ends, at most a day, and at least what the last joining brought. Version 1: always that.
local function offer_ttl(shard, event, rules)
  if records_version() < 2 then return rules.offer_ttl_ms end
  if rules.own_ttl_ms then return rules.own_ttl_ms end
  local hundredth = math.floor((event.closes_at_ms - shard.at_ms) / 100)
  return math.max(rules.offer_ttl_ms, math.min(86400000, hundredth))
end

-- Set free places aside for a waiting entry: an offer is a hold, made at once with what freed the
-- places. `past.passed` are the entries before it that it passes, and `reason` says why it may;
-- `past.limited` are those whose turn comes when their owners' orders are decided. Of a seated tier
-- `seats` are the ones it gets.
local function offer(shard, event, entry, rules, past, seats)
  local tier = event.tiers[entry.tier_no]
  local offer_id = 'offer_' .. string.sub(entry.entry_id, 4)
  local price = string.format('%.0f', tier.price_minor)
  local passed, limited = past.passed, past.limited
  local reason = rules.policy == 'skip' and 'skip' or 'patience'
  local items = entry.tier_no .. ':' .. entry.quantity .. ':' .. price
    .. (seats and ':' .. seats or '')
  local lines, _, rows = lines_of(items)
  local expires_at_ms = before_end(event, lines, shard.at_ms + offer_ttl(shard, event, rules))
  move(event, lines, 'available', 'held', entry.user_id, entry.quantity)
  local seq = note(shard, event, 'offered', '"entry_id":"' .. entry.entry_id .. '","hold_id":"'
    .. offer_id .. '","user_id":"' .. entry.user_id .. '","fingerprint":"' .. entry.fingerprint
    .. '","items":' .. rows .. ',"expires_at_ms":' .. string.format('%.0f', expires_at_ms)
    .. ',"join_no":"' .. entry.join_no .. '","cause_seq":' .. rules.cause_seq .. ',"reason":"'
    .. (passed[1] and reason or 'turn') .. '","passed":['
    .. (passed[1] and '"' .. table.concat(passed, '","') .. '"' or '') .. ']'
    .. (limited[1] and ',"limited":["' .. table.concat(limited, '","') .. '"]' or ''))
  keep_hold(shard, event, { hold_id = offer_id, status = 'held', version = 1, epoch = shard.epoch,
    seq = seq, at_ms = shard.at_ms, user_id = entry.user_id, fingerprint = entry.fingerprint,
    items = items, expires_at_ms = expires_at_ms, detail = '{}' }, seq)
  event.new_deadlines[offer_id] = expires_at_ms
  entry.status, entry.version = 'offered', entry.version + 1
  keep_entry(shard, event, entry, seq)
end

-- Tell whether those behind an entry whose party does not fit may pass it. Under `skip` always;
-- under `strict` once its patience has run out, which is counted from when it first did not fit, or
-- anew where that is to come by a clock that has been set back since (F58).
local function may_pass(shard, event, entry, rules)
  if rules.policy == 'skip' then return true end
  if entry.stalled_at_ms == 0 or entry.stalled_at_ms > shard.at_ms then
    entry.stalled_at_ms = shard.at_ms
    local left = left_in(event, event.tiers[entry.tier_no], 0)
    local seq = note(shard, event, 'stalled', '"entry_id":"' .. entry.entry_id .. '","user_id":"'
      .. entry.user_id .. '","tier_no":' .. entry.tier_no .. ',"quantity":' .. entry.quantity
      .. ',"available":' .. string.format('%.0f', left))
    keep_entry(shard, event, entry, seq)
  end
  local until_ms = entry.stalled_at_ms + rules.patience_ms
  if until_ms > shard.at_ms then event.wake_at_ms = math.min(event.wake_at_ms, until_ms) end
  return until_ms <= shard.at_ms
end

-- List the first of those who wait for a tier, in their order, at most 100. Those who came or went
-- in this batch are counted as they are now.
local function list_heads(event, tier_no)
  local first, behind = string.format('%03d:', tier_no), string.format('%03d;', tier_no)
  local members = redis.call('ZRANGEBYLEX', event.waitlist, '[' .. first, '(' .. behind,
    'LIMIT', 0, 100)
  for member, is_waiting in pairs(event.is_waiting) do
    if is_waiting and string.sub(member, 1, 4) == first then members[#members + 1] = member end
  end
  table.sort(members)
  local ids = {}
  for _, member in ipairs(members) do
    if event.is_waiting[member] ~= false and #ids < 100 then
      ids[#ids + 1] = string.sub(member, 18)
    end
  end
  return ids
end

-- Tell whether those who wait for a tier may be offered places now, if there are any: the sale of
-- the event, and the tier's own, goes on.
local function is_served(shard, event, tier)
  return tier.waiting > 0 and shard.at_ms < event.closes_at_ms
    and (tier.closes_at_ms == 0 or shard.at_ms < tier.closes_at_ms)
end

-- Tell how many places the smallest party needs of the first 100 that wait for a tier. Read once
-- per call, and only where another tier shares its places.
local function least_party(event, tier_no)
  local tier = event.tiers[tier_no]
  if not tier.least_party then
    tier.least_party = math.huge
    for _, entry in ipairs(find_entries(event, list_heads(event, tier_no))) do
      if entry then tier.least_party = math.min(tier.least_party, entry.quantity) end
    end
  end
  return tier.least_party
end

-- Tell whether what is left of a tier is for those who wait: for it, or for another tier of its
-- pool of which as many places are left as some party needs. What only that tier's own capacity
-- keeps from them is not theirs.
local function is_kept(shard, event, tier)
  if tier.waiting > 0 then return true end
  for _, mate_no in ipairs(tier.pool and tier.pool.tier_nos or {}) do
    local mate = event.tiers[mate_no]
    if is_served(shard, event, mate) and least_party(event, mate_no) <= mate.available then
      return true
    end
  end
  return false
end

-- Line up those who wait for some tiers, the first 100 of each: of one tier in its order, of the
-- tiers of a pool by who joined first.
local function line_up(event, tier_nos)
  if not tier_nos[2] then return { at = 1, ids = list_heads(event, tier_nos[1]), tier_of = {} } end
  local queue, join_nos = { at = 1, ids = {}, tier_of = {} }, {}
  for _, tier_no in ipairs(tier_nos) do
    local ids = list_heads(event, tier_no)
    for n, entry in ipairs(find_entries(event, ids)) do
      queue.ids[#queue.ids + 1] = ids[n]
      queue.tier_of[ids[n]], join_nos[ids[n]] = tier_no, entry.join_no
    end
  end
  table.sort(queue.ids, function(one, other) return join_nos[one] < join_nos[other] end)
  return queue
end

-- Read the next 20 of a queue whose tiers' lists have not stopped, with what their owners have of
-- the event.
local function read_heads(event, queue, stopped)
  local ids = {}
  while queue.ids[queue.at] and #ids < 20 do
    local id = queue.ids[queue.at]
    if not stopped[queue.tier_of[id]] then ids[#ids + 1] = id end
    queue.at = queue.at + 1
  end
  local heads = find_entries(event, ids)
  local user_ids = {}
  for _, entry in ipairs(heads) do
    if event.taken[entry.user_id] == nil then user_ids[#user_ids + 1] = entry.user_id end
  end
  read_rows(event.persons, user_ids, event.taken)
  return heads
end

-- Return the live holds of an event that run out first, at most 100, and those that this batch has
-- made; offers are told by their entries. Read once per call, after all that it decides.
local function first_holds(event)
  if event.first_live then return event.first_live end
  local ids, seen, missing = redis.call('ZRANGEBYSCORE', event.deadlines, '-inf', '(+inf',
    'LIMIT', 0, 100), {}, {}
  for hold_id in pairs(event.new_deadlines) do ids[#ids + 1] = hold_id end
  for _, hold_id in ipairs(ids) do
    if event.hold_of[hold_id] == nil then missing[#missing + 1] = hold_id end
  end
  read_rows(event.holds, missing, event.hold_of)
  event.first_live = {}
  for _, hold_id in ipairs(ids) do
    local is_offer, row = string.sub(hold_id, 1, 6) == 'offer_', event.hold_of[hold_id]
    local hold = row and not is_offer and not seen[hold_id] and parse_hold(hold_id, row)
    seen[hold_id] = true
    if hold and hold.status == 'held' then event.first_live[#event.first_live + 1] = hold end
  end
  return event.first_live
end

-- Tell how many places a person has of an event, and of one tier, that are not decided: in offers
-- and in holds. A hold beyond the first 100 to run out counts as decided. Since nothing tells a
-- list that a hold was let go, the event is looked at again soon.
local function undecided(shard, event, tier_no, user_id)
  local places, of_tier = 0, 0
  for _, entry in ipairs(entries_of(event, user_id)) do
    if entry and entry.status == 'offered' then
      places = places + entry.quantity
      if entry.tier_no == tier_no then of_tier = of_tier + entry.quantity end
    end
  end
  for _, hold in ipairs(first_holds(event)) do
    if hold.user_id == user_id then
      for _, line in ipairs(lines_of(hold.items)) do
        places = places + line.quantity
        if line.tier_no == tier_no then of_tier = of_tier + line.quantity end
      end
      event.wake_at_ms = math.min(event.wake_at_ms, shard.at_ms + 5000)
    end
  end
  return places, of_tier
end

-- Tell whether an entry's owner may have its places too: `yes`, `later` if only what they have not
-- decided stands against it, or `never`. Version 1 has no way to pass such an entry over.
local function may_have(shard, event, tier, entry)
  local tier_no, user_id = entry.tier_no, entry.user_id
  local had = tier_taken(event, tier_no, user_id)
  local over = tonumber(event.taken[user_id] or 0) + entry.quantity - event.person_max
  local over_tier = had and had + entry.quantity - tier.person_max or 0
  if over <= 0 and over_tier <= 0 then return 'yes' end
  if records_version() < 2 then return 'never' end
  local places, of_tier = undecided(shard, event, tier_no, user_id)
  return over <= places and over_tier <= of_tier and 'later' or 'never'
end

-- Tell whether a party is larger than its tier can ever have free: than all that is not blocked.
-- Version 1 cannot say so.
local function is_too_large(tier, entry)
  return entry.quantity > most_of(tier) and records_version() > 1
end

-- Lead one of those who wait a step on: off the list if they can never be served, to an offer, or
-- into `past`, where others may pass them. Returns `moved`, `limited` or `passed`, or nothing where
-- the list stops at them.
local function serve(shard, event, entry, rules, past)
  local tier = event.tiers[entry.tier_no]
  local left = left_in(event, tier, 0)
  if left < 1 or shard.room < 1 then return nil end
  local may, why = may_have(shard, event, tier, entry), nil
  if may == 'never' then why = 'limit' elseif is_too_large(tier, entry) then why = 'too_large' end
  if why then
    leave_list(shard, event, entry, why)
    return 'moved'
  end
  if may == 'later' then
    table.insert(past.limited, entry.entry_id)
    return 'limited'
  end
  local fits, seats = entry.quantity <= left, nil
  if fits and tier.sections then
    seats = best_seats(event, tier, { quantity = entry.quantity, wish = 'best,split' })
    fits = seats ~= nil
  end
  if fits then
    offer(shard, event, entry, rules, past, seats)
    return 'moved'
  end
  if not may_pass(shard, event, entry, rules) then return nil end
  table.insert(past.passed, entry.entry_id)
  return 'passed'
end

-- Offer the free places of one tier, or of those of a pool, to those who wait, in their order; at
-- most 20 entries are looked at, and among the first 100 those between them that are passed over
-- for their owners' limit. Of a seated tier a party gets the best seats there are, side by side if
-- possible; those that are kept back do not count. Whom a tier of a pool has too little left for,
-- by its own capacity, stops the list of that tier alone. Where more could be offered, the sweeper
-- is called at once; where the journal has no room, a little later.
local function promote_tiers(shard, event, tier_nos, rules)
  local queue, past_of, stopped = line_up(event, tier_nos), {}, {}
  for _, tier_no in ipairs(tier_nos) do past_of[tier_no] = { passed = {}, limited = {} } end
  local looked, is_moved, is_over = 0, false, false
  while queue.ids[queue.at] and looked < 20 and not is_over do
    for _, entry in ipairs(read_heads(event, queue, stopped)) do
      if not stopped[entry.tier_no] then
        local tier = event.tiers[entry.tier_no]
        local step = serve(shard, event, entry, rules, past_of[entry.tier_no])
        is_moved, stopped[entry.tier_no] = is_moved or step == 'moved', not step
        is_over = not step
          and (shard.room < 1 or not tier.pool or entry.quantity <= tier.available)
        if step ~= 'limited' then looked = looked + 1 end
        if is_over or looked == 20 then break end
      end
    end
  end
  if shard.room < 1 then event.wake_at_ms = math.min(event.wake_at_ms, shard.at_ms + 1000) end
  if is_moved and not is_over and (looked == 20 or #queue.ids >= 100) then
    event.wake_at_ms = shard.at_ms
  end
end

-- End the entries whose parties are larger than a tier has become: of the first 100 at once, of the
-- others when their turn comes.
local function drop_too_large(shard, event, tier_no, tier)
  for _, entry in ipairs(find_entries(event, list_heads(event, tier_no))) do
    if entry and shard.room > 0 and is_too_large(tier, entry) then
      leave_list(shard, event, entry, 'too_large')
    end
  end
end

-- Put those of some tiers together that share places: their places are offered in one order.
local function by_pool(event, tier_nos)
  local groups, group_of = {}, {}
  for _, tier_no in ipairs(tier_nos) do
    local pool = event.tiers[tier_no].pool
    local group = pool and group_of[pool]
    if not group then
      group = {}
      groups[#groups + 1] = group
      if pool then group_of[pool] = group end
    end
    group[#group + 1] = tier_no
  end
  return groups
end

-- Tell whether there is something that those who wait for some tiers may be offered.
local function has_offers(event, tier_nos)
  for _, tier_no in ipairs(tier_nos) do
    local tier = event.tiers[tier_no]
    if tier.waiting > 0 and left_in(event, tier, 0) > 0 then return true end
  end
  return false
end

-- Offer the free places of each tier that was read to those who wait for it, in their order: the
-- one hook of all scripts that may have freed places, called once, before `apply`; the tiers in
-- order, since one may wait for several, but those of a pool together. At most 20 entries are
-- looked at of each (`promote_tiers`).
local function promote(shard, events)
  for _, event in ipairs(events) do
    local cause_seq, tier_nos = event.noted_seq or 0, {}
    for tier_no, tier in pairs(event.tiers) do
      if tier and is_served(shard, event, tier) then tier_nos[#tier_nos + 1] = tier_no end
    end
    -- `book` has not looked, if all that it was asked came from those who try too often.
    if tier_nos[1] and not event.is_looked_at then look({ event }) end
    if event.is_damaged then tier_nos = {} end
    table.sort(tier_nos, function(one, other) return tonumber(one) < tonumber(other) end)
    for _, group in ipairs(by_pool(event, tier_nos)) do
      for _, tier_no in ipairs(group) do
        local tier = event.tiers[tier_no]
        if tier.is_smaller then drop_too_large(shard, event, tier_no, tier) end
      end
      if has_offers(event, group) then
        if not event.rules then
          -- Kept since somebody joined, so that the scripts that free places need not be told.
          local kept = redis.call('HMGET', event.stock, 'waitlist.policy', 'waitlist.patience_ms',
            'waitlist.offer_ttl_ms', 'offer_ttl_ms')
          event.rules = { policy = kept[1], patience_ms = tonumber(kept[2]),
            offer_ttl_ms = tonumber(kept[3]), own_ttl_ms = tonumber(kept[4]) }
        end
        event.rules.cause_seq = cause_seq
        promote_tiers(shard, event, group, event.rules)
      end
    end
  end
end
