-- Move named seats between `available` and `blocked`, or say why not. Seats that are there already
-- stay; if all are, nothing is noted. The counters `blocked`, which a sale never reads, are read
-- here and written by the caller, who gets their HSET words.
local function shift_seats(shard, event, seat_ids, from, to)
  local by_tier, tier_nos = {}, {}
  for n, seat_id in ipairs(seat_ids) do
    local section_no, seat_no = string.match(seat_id, '^s([1-9]%d*)-([1-9]%d*)$')
    if section_no then read_seats(event, { section_no }) end
    local section = event.sections and event.sections[section_no or '']
    local at = tonumber(seat_no)
    local letter = section and string.sub(section.status, at, at) or ''
    if letter == '' or letter == '/' then return { 'UNKNOWN_SEAT', n, seat_id } end
    if letter ~= 'f' and letter ~= 'b' then return { 'SEAT_TAKEN', n, seat_id } end
    if (letter == 'f') == (from == 'available') then
      if not by_tier[section.tier_no] then
        by_tier[section.tier_no] = {}
        tier_nos[#tier_nos + 1] = section.tier_no
      end
      table.insert(by_tier[section.tier_no], seat_id)
    end
  end
  local words, rows = {}, {}
  for n, tier_no in ipairs(tier_nos) do
    local ids = by_tier[tier_no]
    read_stock(event, { [tier_no] = true })
    local tier = event.tiers[tier_no]
    tier.blocked = tonumber(redis.call('HGET', event.stock, tier_no .. '.blocked'))
    local line = { tier_no = tier_no, quantity = #ids, seats = table.concat(ids, '+') }
    move(event, { line }, from, to, '', 0)
    words[#words + 1], words[#words + 2] = tier_no .. '.blocked', tier.blocked
    rows[n] = '[' .. tier_no .. ',["' .. table.concat(ids, '","') .. '"]]'
  end
  return nil, words, '[' .. table.concat(rows, ',') .. ']'
end
