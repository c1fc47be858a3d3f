-- Note a record to be appended by `apply`, and return its seq as text. `body` is the JSON after
-- the fields that every record has.
local function note(shard, event, kind, body)
  shard.seq, shard.room = shard.seq + 1, shard.room - 1
  event.noted_seq = string.format('%.0f', shard.seq)
  shard.records[#shard.records + 1] = '{"kind":"' .. kind .. '","version":1,"at_ms":'
    .. shard.at_ms .. ',"event_id":"' .. event.event_id .. '",' .. body .. '}'
  return string.format('%.0f', shard.seq)
end
