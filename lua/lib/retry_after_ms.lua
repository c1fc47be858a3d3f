-- Tell in how many ms the event's next hold runs out: the earliest that a place may return.
local function retry_after_ms(shard, event)
  if not event.next_deadline_ms then
    local first = redis.call('ZRANGE', event.deadlines, 0, 0, 'WITHSCORES')
    event.next_deadline_ms = tonumber(first[2] or shard.at_ms)
  end
  return math.max(0, event.next_deadline_ms - shard.at_ms)
end
