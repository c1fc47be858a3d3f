-- End the event's overdue holds, the oldest first, at most `holds_max`; return how many. Called by
-- the sweeper, and by a sale that finds too little left: a hold's end never waits for the sweeper.
local function reclaim(shard, event, holds_max)
  local ids = redis.call('ZRANGEBYSCORE', event.deadlines, '-inf', shard.at_ms,
    'LIMIT', 0, holds_max)
  local rows = {}
  read_rows(event.holds, ids, rows)
  local count = 0
  for _, hold_id in ipairs(ids) do
    -- A hold that this batch has ended or extended is in `hold_of`, newer than what was read.
    local row = event.hold_of[hold_id] or rows[hold_id]
    local hold = row and parse_hold(hold_id, row)
    if hold and hold.status == 'held' and hold.expires_at_ms <= shard.at_ms and shard.room > 0 then
      end_hold(shard, event, hold, 'expired')
      count = count + 1
    end
  end
  return count
end
