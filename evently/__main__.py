"""`python -m evently` is the command `evently`."""

from __future__ import annotations

from evently.cli import main

if __name__ == "__main__":
    main()
