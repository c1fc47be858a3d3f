"""A data set written by earlier code, which the present code must open and sell on."""
