-- Find the best `count` neighbouring free seats of a section: in the first row, nearest its middle,
-- the lower numbers if two are as near. Returns the first seat of the best choice that leaves no
-- single seat alone, if there is one; and else the best of the others. With `kinds`, one of the
-- seats must be accessible. Each run of free seats is looked at once.
local function find_window(open, count, kinds)
  if not string.find(open, string.rep('f', count), 1, true) then return end
  local row_first, row_end, clean, clean_row, clean_far, rest, rest_row, rest_far = 1, 0
  for first, after in string.gmatch(open, '()f+()') do
    while first > row_end do
      row_first, row_end = row_end + 1, string.find(open, '/', row_end + 1, true) or #open + 1
    end
    if clean and clean_row ~= row_end then break end
    local is_in_question = after - first ~= count + 1 or not rest or rest_row == row_end
    if after - first >= count and is_in_question then
      local middle = row_first + row_end - count
      local near = math.max(first, math.min(math.floor(middle / 2), after - count))
      local from, to = math.max(first, near - 2), math.min(after - count, near + 2)
      if kinds then from, to = first, after - count end
      for at = from, to do
        local far, has = math.abs(2 * at - middle), not kinds
        if kinds then has = string.find(string.sub(kinds, at, at + count - 1), '[1357]') end
        if has and at ~= first + 1 and at ~= after - count - 1 then
          if not clean or far < clean_far then clean, clean_row, clean_far = at, row_end, far end
        elseif has and (not rest or (rest_row == row_end and far < rest_far)) then
          rest, rest_row, rest_far = at, row_end, far
        end
      end
    end
  end
  return clean, rest
end
