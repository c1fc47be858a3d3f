"""A data set written by earlier code, which the present code must open and sell on."""

from pathlib import Path

#: Kinds of records that code before version 2 could write.
KINDS_1 = {
    line.partition(":")[0]
    for line in (Path(__file__).parent / "fields_1.txt").read_text("utf-8").splitlines()
}
