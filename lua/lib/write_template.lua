-- Write the template of the records of what is plainly asked for, once for all that ask the same:
-- a line of the journal's entry that is no record, with a tab for each value that differs. Records
-- of its kind then are its number and their values (`engine/records.py`). Returns the number as
-- lead, and the count of lines and the bytes unfolded as they are then.
local function write_template(shard, asked, count, unfolded)
  local event, line, holes = asked.event, asked.lines[1], 3
  local price = asked.plain_tier.price_text
  local text = '={"kind":"booked","version":1,"at_ms":' .. shard.at_text .. ',"event_id":"'
    .. event.event_id .. '","booking_id":"\t","user_id":"\t","fingerprint":"\t","items":[['
    .. line.tier_no .. ',' .. line.word .. ',' .. price .. ']],"detail":'
  if asked.detail == '{}' then
    text, asked.tail = text .. '{}}', ''
  else
    text, asked.tail, holes = text .. '\t}', '\t' .. asked.detail, 4
  end
  local number = event.templates[text]
  if not number then
    number = string.format('%d', shard.template_count)
    event.templates[text] = number
    shard.template_count, count = shard.template_count + 1, count + 1
    shard.records[count], unfolded = text, unfolded - #text - 1
  end
  asked.lead = number .. '\t'
  asked.unfolded = #text + 8 - #asked.lead - 2 * holes
  local items = line.tier_no .. ':' .. line.word .. ':' .. price
  asked.row_tail, asked.reply_tail = ' ' .. items, ' ' .. shard.at_text .. ' ' .. items
  return asked.lead, count, unfolded
end
