"""Ports of this machine that nobody has, and that nobody takes until their server has come."""

from __future__ import annotations

import atexit
import socket
from collections import deque

#: A process that asks for more keeps the newest; the servers of the others have come long since.
KEPT = 256

_kept: deque[socket.socket] = deque()


def free_port(host: str = "127.0.0.1") -> int:
    """
    Return a port that nobody has, and keep it for a server that is to be started on it.

    A port that is only looked up and let go can be given to somebody else before its server comes;
    and where both listen with `SO_REUSEPORT`, as this API does, each then answers half of the
    other's callers. So a socket that never listens stays bound to it as long as this process lives:
    the kernel gives the port to no other asker and to no client, while a server that names it and
    sets `SO_REUSEADDR`, as every server does, may listen there, end, and come again
    (`inet_csk_bind_conflict` of Linux).

    Args:
        host: the address that the server will listen on.

    Returns:
        The port's number.

    Raises:
        OSError: there is none, or the address is not of this machine.
    """
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        probe.bind((host, 0))
    except OSError:
        probe.close()
        raise
    # Only now: an asker with these would be given a port that another one keeps.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _kept.append(probe)
    if len(_kept) > KEPT:
        _kept.popleft().close()
    return int(probe.getsockname()[1])


@atexit.register
def _let_go() -> None:
    while _kept:
        _kept.pop().close()
