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
