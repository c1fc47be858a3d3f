"""The numbers of shards that tests use: each is given once, since all share a process's servers."""

import itertools

#: Of everybody; a second counter would meet this one sooner or later.
SHARDS = itertools.count()
