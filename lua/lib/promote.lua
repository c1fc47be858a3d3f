-- Offer the free places of each tier that was read to those who wait for it, in their order: the
-- one hook of all scripts that may have freed places, called once, before `apply`. At most 20
-- entries of a tier are looked at (`promote_tier`).
local function promote(shard, events)
  for _, event in ipairs(events) do
    local cause_seq = event.noted_seq or 0
    for tier_no, tier in pairs(event.tiers) do
      if tier and tier.waiting > 0 and tier.available > 0 and shard.at_ms < event.closes_at_ms
        and (tier.closes_at_ms == 0 or shard.at_ms < tier.closes_at_ms) then
        if not event.rules then read_rules(event) end
        event.rules.cause_seq = cause_seq
        promote_tier(shard, event, tier_no, tier, event.rules)
      end
    end
  end
end
