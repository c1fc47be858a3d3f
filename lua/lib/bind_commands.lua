-- Bind the commands of a batch: from ARGV `a` on, `words` words each, the first of which says which
-- event. Returns nil if that is not so, or there are more than 128, which is a bug in the caller.
local function bind_commands(events, a, words)
  local commands = {}
  while a <= #ARGV do
    local event = events[tonumber(ARGV[a])]
    if not event or not ARGV[a + words - 1] or #commands == 128 then return nil end
    local command = { event = event }
    for word = 1, words - 1 do command[word] = ARGV[a + word] end
    commands[#commands + 1] = command
    a = a + words
  end
  return #events <= 128 and commands or nil
end
