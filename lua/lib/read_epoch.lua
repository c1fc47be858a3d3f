-- Read the first argument of every script: the epoch the caller believes in, and behind a colon
-- the last record it knows of. Anything else is no epoch that a shard has.
local function read_epoch(text)
  local epoch, seen_seq = string.match(text, '^(%d+):(%d+)$')
  return epoch or text, tonumber(seen_seq) or 0
end
