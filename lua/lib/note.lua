-- Note a record to be appended by `apply`, and return its seq as text. `body` is the JSON after
-- the fields that every record has. Those are put together once per event and kind, and of the seq
-- only the last digit changes mostly: a rush notes many records at once.
local function note(shard, event, kind, body)
  local seq, heads = shard.seq + 1, event.heads
  if not heads then
    heads = {}
    event.heads = heads
  end
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
  local text = shard.tens .. string.sub('0123456789', digit + 1, digit + 1)
  local count = shard.count + 1
  shard.seq, shard.room, shard.count, event.noted_seq = seq, shard.room - 1, count, text
  shard.records[count] = head .. body .. '}'
  return text
end
