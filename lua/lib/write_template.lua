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
