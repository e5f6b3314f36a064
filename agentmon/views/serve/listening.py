"""Listening: the sockets of the server, opened before anything heavy is loaded."""

import contextlib
import socket

from agentmon.errors import AgentmonError


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses of a name. Raises AgentmonError."""
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            if port == 0 and sockets:  # the same free port on all of them
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            with contextlib.suppress(_NotHere):
                sockets.append(_bound(family, address))
        if not sockets:
            raise OSError(0, "no such address on this machine")
    except (OSError, UnicodeError) as error:
        for opened in sockets:
            opened.close()
        why = getattr(error, "strerror", None) or str(error)
        raise AgentmonError(f"cannot listen on {host} port {port}: {why}; choose another --host or --port") from None
    return sockets


class _NotHere(Exception):
    """An address of a family that this machine does not speak."""


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    try:
        # asyncio sets TCP_NODELAY only where the protocol is named; without, each small answer waits 40 ms for an ACK
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError:
        raise _NotHere from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(512)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened
