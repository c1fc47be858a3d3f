-- Records, and the one writer of all that a batch has decided.

-- Return the version of the records of this reign: the coordinator writes it over the figure in
-- this text, as in every record. What version 1 cannot say is neither written nor done under it.
local function records_version() return tonumber(string.match('"version":1', '%d')) end

-- Note a record to be appended by `apply`, and return its seq as text. `body` is the JSON after
-- the fields that every record has. What repeats is put together once, since turning a number into
-- text costs as much as a booking's row. `unfolded` are the bytes that the journal's lines lack of
-- records with a check each, which is how PostgreSQL counts them.
local function note(shard, event, kind, body)
  local seq, heads = shard.seq + 1, event.heads
  local head = heads[kind]
  if not head then
    head = '{"kind":"' .. kind .. '","version":1,"at_ms":' .. shard.at_text
      .. ',"event_id":"' .. event.event_id .. '",'
    heads[kind] = head
  end
  local digit = seq % 10
  if digit == 0 or not shard.tens then
    shard.tens = string.sub(string.format('%.0f', seq), 1, -2)
  end
  local text = shard.tens .. shard.digits[digit]
  shard.seq, shard.room, shard.count, event.noted_seq = seq, shard.room - 1, shard.count + 1, text
  shard.unfolded = shard.unfolded + 8
  shard.records[shard.count] = head .. body .. '}'
  return text
end

-- Return the reply of who has just made record `seq`, the last that was noted: `status epoch seq
-- at_ms`, what else there is to say of it, and behind that the record's JSON, so that whoever tells
-- of it can bear witness to it (`engine/redo.py`).
local function done(shard, status, seq, ...)
  local reply = { status, shard.epoch, seq, shard.at_ms, ... }
  reply[#reply + 1] = shard.records[shard.count]
  return reply
end

-- Write the template of the records of what is plainly asked for, once for all that ask the same:
-- a line of the journal's entry that is no record, with a tab for each value that differs. Records
-- of its kind then are its number and their values (`engine/framing.py`). Returns the template;
-- `unfolded` are the bytes that such a line lacks of a record with a check.
local function write_template(shard, asked, has_detail)
  local event, line, name = asked.event, asked.lines[1], has_detail and 'detail' or 'plain'
  if asked.templates[name] then return asked.templates[name] end
  local items = line.tier_no .. ',' .. line.word .. ',' .. asked.plain_tier.price_text
  local text = '={"kind":"booked","version":1,"at_ms":' .. shard.at_text .. ',"event_id":"'
    .. event.event_id .. '","booking_id":"\t","user_id":"\t","fingerprint":"\t","items":[[' .. items
    .. ']],"detail":' .. (has_detail and '\t}' or '{}}')
  local lead = string.format('%d\t', shard.template_count)
  shard.template_count, shard.count = shard.template_count + 1, shard.count + 1
  shard.records[shard.count], shard.unfolded = text, shard.unfolded - #text - 1
  asked.templates[name] = { lead = lead,
    unfolded = #text + 8 - #lead - 2 * (has_detail and 4 or 3) }
  return asked.templates[name]
end

-- Write what a batch has decided: the journal first, then everything else. The one writer of all
-- scripts of the sale. Only the append can fail, and then it leaves all as it was: the keys
-- written below have been read before, or their type is asked for here.
local function apply(shard, events, due)
  if shard.count == 0 then return end
  for _, event in ipairs(events) do
    if next(event.new_holds) then
      redis.call('HEXISTS', event.holds, '')
      redis.call('ZCARD', event.deadlines)
      redis.call('ZCARD', event.ended)
      redis.call('ZCARD', due)
    elseif event.wake_at_ms < math.huge then
      redis.call('ZCARD', due)
    end
    if next(event.new_entries) then
      redis.call('HEXISTS', event.entries, '')
      redis.call('ZCARD', event.waitlist)
      redis.call('ZCARD', due)
    end
  end
  local lines = table.concat(shard.records, '\n')
  local text = redis.sha1hex(lines) .. lines
  redis.call('XADD', shard.journal, string.format('%.0f-1', shard.seq), 'records', text)
  redis.call('HSET', shard.meta, 'seq', string.format('%.0f', shard.seq),
    'bytes', string.format('%.0f', shard.bytes + #lines + 1 + shard.unfolded),
    'oldest_at_ms', shard.oldest_at_ms)
  for _, event in ipairs(events) do
    local stock, persons, words = {}, event.plain_persons, event.plain_words
    for tier_no, tier in pairs(event.tiers) do
      if tier and tier.is_changed then
        local s = #stock
        stock[s + 1], stock[s + 2] = tier_no .. '.available', tier.available
        stock[s + 3], stock[s + 4] = tier_no .. '.held', tier.held
        stock[s + 5], stock[s + 6] = tier_no .. '.sold', tier.sold
      end
      if tier and tier.has_waited then
        stock[#stock + 1], stock[#stock + 2] = tier_no .. '.waiting', tier.waiting
      end
    end
    local changed, taken = event.changed_persons, event.taken
    for n = 1, event.changed_count do
      local count = taken[changed[n]]
      persons[words + 2 * n - 1] = changed[n]
      persons[words + 2 * n] = shard.digits[count] or count
    end
    write_rows('HSET', event.stock, stock)
    write_rows('HSET', event.stock, event.new_stock)
    write_rows('HSET', event.persons, persons)
    if event.new_seats then write_rows('HSET', event.seats, flat(event.new_seats)) end
    if event.new_promos then write_rows('HSET', event.promos, flat(event.new_promos)) end
    write_rows('HSET', event.bookings, event.plain_bookings)
    write_rows('HSET', event.bookings, event.new_bookings)
    write_rows('HSET', event.holds, flat(event.new_holds))
    write_rows('ZREM', event.deadlines, event.old_deadlines)
    write_rows('ZADD', event.deadlines, flat(event.new_deadlines, true))
    write_rows('ZADD', event.ended, flat(event.new_ended, true))
    write_rows('HSET', event.entries, flat(event.new_entries))
    for member, is_waiting in pairs(event.is_waiting) do
      if is_waiting then redis.call('ZADD', event.waitlist, 0, member)
      else redis.call('ZREM', event.waitlist, member) end
    end
    local earliest_ms = event.wake_at_ms
    for _, at_ms in pairs(event.new_deadlines) do earliest_ms = math.min(earliest_ms, at_ms) end
    if earliest_ms < math.huge then
      redis.call('ZADD', due, 'LT', string.format('%.0f', earliest_ms), event.event_id)
    end
  end
end
