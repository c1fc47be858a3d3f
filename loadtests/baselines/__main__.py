"""
`python -m loadtests.baselines`: serve the three approaches until killed.

Reads `Options` as JSON from one line of stdin and prints the port that it listens on.
"""

from __future__ import annotations

import sys

import msgspec
import uvloop

from loadtests.baselines.service import Options, serve

if __name__ == "__main__":
    uvloop.run(serve(msgspec.json.decode(sys.stdin.buffer.readline(), type=Options)))
