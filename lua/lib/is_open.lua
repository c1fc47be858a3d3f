-- Tell whether the event is loaded and within its sale window.
local function is_open(shard, event)
  return event.person_max ~= nil and shard.at_ms >= event.opens_at_ms
    and shard.at_ms < event.closes_at_ms
end
