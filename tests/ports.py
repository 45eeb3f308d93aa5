"""Ports of loopback for servers that have to be told one, and for addresses at which nobody may answer."""

from __future__ import annotations

import random
import socket

NOBODYS = range(20_000, 26_000)
"""Linux gives none of them to whoever asks for any port, nor to a connection: between look and use they stay free."""


def free_port() -> int:
    """A port that nobody listens at."""
    for port in random.sample(NOBODYS, len(NOBODYS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("all ports are taken")
