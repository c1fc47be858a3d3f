-- Tell how many places of a tier a person has, and the field of `persons` that counts them; nil
-- where the tier has no limit per person, and nothing is counted. Read first if not read yet.
local function tier_taken(event, tier_no, user_id)
  if event.tiers[tier_no].person_max == 0 then return nil end
  local name = user_id .. '/' .. tier_no
  if event.taken[name] == nil then read_rows(event.persons, { name }, event.taken) end
  return tonumber(event.taken[name] or 0), name
end
