"""A data set written by earlier code, which the present code must open and sell on."""

#: Kinds of records that version 2 has brought.
SINCE_2 = {"scan_refused"}
