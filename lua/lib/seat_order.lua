-- Find the seats of an order's lines, or say why they cannot be had: those it names, else the best
-- available of a seated tier. Lines of tiers without seats pass. An overdue hold that stands in the
-- way is ended first, as `refuse` does.
local function seat_order(shard, order)
  local event, lines = order.event, order.lines
  for n = 1, #lines do
    local line = lines[n]
    local tier, wish = event.tiers[line.tier_no], line.wish
    local is_named = wish ~= nil and string.sub(wish, 1, 4) ~= 'best'
    if is_named or tier.sections then
      for try = 1, 2 do
        local status, what
        if is_named then
          local trouble
          trouble, what = check_seats(event, line, wish)
          status = trouble and (trouble == 'taken' and 'SEAT_TAKEN' or 'UNKNOWN_SEAT')
          line.seats = wish
        else
          line.seats = best_seats(event, tier, line)
          if not line.seats then status, what = 'NOT_TOGETHER', tier.available end
        end
        if not status then break end
        if try == 2 or tier.held == 0 or event.is_reclaimed or status == 'UNKNOWN_SEAT' then
          return { status, n, what }
        end
        event.is_reclaimed = true
        reclaim(shard, event, 50)
      end
    end
  end
end
