-- The figures 1 to 10 by their words, and back: a look-up costs a tenth of what a conversion does.
local function figures()
  return { ['1'] = 1, ['2'] = 2, ['3'] = 3, ['4'] = 4, ['5'] = 5, ['6'] = 6, ['7'] = 7, ['8'] = 8,
    ['9'] = 9, ['10'] = 10, '1', '2', '3', '4', '5', '6', '7', '8', '9', '10' }
end
