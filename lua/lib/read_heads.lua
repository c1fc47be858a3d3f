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
