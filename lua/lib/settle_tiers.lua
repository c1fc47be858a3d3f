-- Count as sold what plain orders took: of a tier nothing is lost, so it is what is neither left
-- nor held of all there was when it was read.
local function settle_tiers(events)
  for _, event in ipairs(events) do
    for _, tier in pairs(event.tiers) do
      if tier and tier.is_plain then
        local sold = tier.total - tier.available - tier.held
        if sold ~= tier.sold then tier.sold, tier.is_changed = sold, true end
      end
    end
  end
end
