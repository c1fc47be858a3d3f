-- Move places of some lines between two counters of their tiers, and a person's count by `places`.
-- Only tables change here. Tiers or the person that were not read yet are read first. Of a tier
-- with a limit per person, what the person has of it is counted as well.
local function move(event, lines, from, to, user_id, places)
  for n = 1, #lines do
    local line = lines[n]
    if event.tiers[line.tier_no] == nil then read_stock(event, { [line.tier_no] = true }) end
    local tier = event.tiers[line.tier_no]
    tier[from], tier[to] = tier[from] - line.quantity, tier[to] + line.quantity
    tier.is_changed = true
    if line.seats then move_seats(event, line, from, to) end
  end
  if places ~= 0 then
    if event.taken[user_id] == nil then read_rows(event.persons, { user_id }, event.taken) end
    local changed, count = event.changed_persons, event.changed_count + 1
    event.taken[user_id] = (event.taken[user_id] or 0) + places
    changed[count] = user_id
    for n = 1, #lines do
      local line = lines[n]
      if event.tiers[line.tier_no].person_max > 0 then
        local taken, name = tier_taken(event, line.tier_no, user_id)
        event.taken[name] = taken + (places > 0 and line.quantity or -line.quantity)
        count = count + 1
        changed[count] = name
      end
    end
    event.changed_count = count
  end
end
