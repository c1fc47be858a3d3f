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
