-- Note a record to be appended by `apply`, and return its seq as text. `body` is the JSON after
-- the fields that every record has.
local function note(shard, event, kind, body)
  local head, seq = begin_record(shard, event, kind)
  shard.records[shard.count] = head .. body .. '}'
  return seq
end
