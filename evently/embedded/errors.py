"""
The one exception of the embedded servers.

Its text is shown to the operator as it is, on one line or with the tail of a server's log, so it
says what happened and what to do. Whoever runs a command turns it into exit code 2.
"""

from __future__ import annotations


class ServerError(RuntimeError):
    """An embedded server cannot be found, started or kept apart from another one."""
