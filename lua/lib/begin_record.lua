-- Begin a record: count it, and return the fields that every record has, as JSON with an open
-- brace, and its seq as text. The caller puts the record at `shard.records[shard.count]`. What
-- repeats is put together once, since turning a number into text costs as much as a booking's row.
-- `unfolded` are the bytes that the journal's lines lack of records with a check each, which is how
-- PostgreSQL counts them.
local function begin_record(shard, event, kind)
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
  return head, text
end
