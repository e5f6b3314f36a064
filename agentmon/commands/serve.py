"""agentmon serve"""

import contextlib
import importlib.util
import ipaddress
import os
import secrets
import stat
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from agentmon import runs
from agentmon.commands import candidates
from agentmon.commands.access import access, from_server
from agentmon.commands.output import say
from agentmon.errors import AgentmonError
from agentmon.feeds.logs import Going, Named
from agentmon.feeds.socket import Sockets
from agentmon.views.serve.listening import listen

if TYPE_CHECKING:
    from agentmon.feeds.feed import Feeds

_NEEDED = ("fastapi", "uvicorn", "websockets")
_RECENT_S = 300.0  # runs that ended so lately are still on the live board
_LOG_BYTES = 256 << 10  # read at a time: clients have their turn in between


@click.command("serve")
@click.argument("sources", nargs=-1, metavar="[LOG|SOCKET]...", shell_complete=candidates.run_names)
@from_server
@click.option("--team", help="With --from: only this team's runs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True,
              help="The port to listen on; 0 takes a free one.")  # fmt: skip
@click.option("--token", metavar="TOKEN",
              help="What clients must know; `auto` makes one and prints it with the address. AGENTMON_SERVE_TOKEN "
                   "keeps it out of the list of processes.")  # fmt: skip
@click.option("--token-file", metavar="FILE", type=click.Path(), help="A file with the token.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME",
              help="A name that the server goes by, beside localhost. May be given several times.")  # fmt: skip
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN",
              help="Another page's origin (https://example.org) that may ask. May be given several times.")  # fmt: skip
@click.option("--root-path", default="", metavar="PATH", help="The path below which a proxy shows the server.")
def command(
    sources: tuple[str, ...], source: str | None, creds: str | None, tls_ca: str | None, tls_cert: str | None,
    tls_key: str | None, team: str | None, host: str, port: int, token: str | None, token_file: str | None,
    hosts: tuple[str, ...], origins: tuple[str, ...], root_path: str,
) -> int:  # fmt: skip
    """The dashboard of all agents at work, with REST and WebSocket.

    Shows the runs of this machine, live and past; and what is named: run logs, and sockets of `run -o unix:PATH`. With
    --from, live are the runs of a fleet: start as many servers as you like, they share nothing.

    \b
    Examples:
      agentmon serve
      agentmon serve crew.ndjson unix:/tmp/crew.sock
      agentmon serve --host 0.0.0.0 --token auto
      agentmon serve --from nats://nats.example.org --team backend
    """
    if team is not None and source is None:
        raise click.UsageError("--team goes with --from")
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise AgentmonError(f"serve needs {', '.join(missing)}: in the checkout, pip install '.[serve]'")
    printed, token = _token(token, token_file)
    if token is None and not _is_loopback(host):
        raise AgentmonError(f"--host {host}: whoever reaches this address could read all runs; add --token auto")
    if root_path and (not root_path.startswith("/") or root_path.startswith("//")):
        raise click.BadParameter("begins with one slash", param_hint="--root-path")
    from agentmon.views.serve.guard import is_host, is_origin

    for name in hosts:
        if not is_host(name):
            raise click.BadParameter(
                f"{name}: a name as it stands in an address, without https://", param_hint="--allow-host"
            )
    for origin in origins:
        if not is_origin(origin):
            raise click.BadParameter(f"{origin}: an origin is written https://NAME or https://NAME:PORT",
                                     param_hint="--allow-origin")  # fmt: skip
    where = None if source is None else access(source, creds, tls_ca, tls_cert, tls_key)
    feeds = _feeds(sources, where is None)
    sockets = listen(host, port)
    if where is not None:
        from agentmon.feeds.nats import Fleet

        feeds.append(Fleet(where, say, team))
    from agentmon.views.serve import server
    from agentmon.views.serve.app import create_app
    from agentmon.views.serve.guard import Rules
    from agentmon.views.serve.hub import Hub
    from agentmon.views.serve.past import Past

    own = () if _is_wildcard(host) else (host,)
    rules = Rules.of(token, (*own, *hosts), origins, root_path, any_address=not _is_loopback(host))
    place = _url(host, sockets[0].getsockname()[1], root_path) + (f"?token={printed}" if printed else "")
    server.run(create_app(Hub(feeds, say), rules, past=Past(say)), sockets, lambda: _tell(place))
    return 0


def _feeds(sources: Sequence[str], here: bool) -> "list[Feeds]":
    """What is named, and (here) what goes on on this machine. Of two that tell one run the first is believed: a log
    that is kept before one that is not, and that before a socket, which has only what comes from now on."""
    paths: list[str] = []
    sockets: list[str] = []
    for word in sources:
        path = word.removeprefix("unix:")
        (sockets if path != word or _is_socket(path) else paths).append(path)
    feeds: list[Feeds] = []
    if paths:
        feeds.append(Named([str(runs.find(path)) for path in paths], _LOG_BYTES))
    if here:
        feeds.append(Going(_RECENT_S, _LOG_BYTES))
    if sockets:
        feeds.append(Sockets(sockets, _LOG_BYTES))
    return feeds


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _token(token: str | None, token_file: str | None) -> tuple[str | None, str | None]:
    """The token to print, and the token to ask for. Raises AgentmonError."""
    if token_file is not None:
        if token is not None:
            raise AgentmonError("--token and --token-file: give one of them")
        try:
            with open(token_file, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AgentmonError(f"--token-file {token_file}: {getattr(error, 'strerror', 'no text')}") from None
    if token == "auto":
        made = secrets.token_urlsafe(24)
        return made, made
    if token is not None and not (token and token.isascii() and token.isprintable() and " " not in token):
        raise AgentmonError("the token is empty, or not of printable ASCII characters without spaces")
    return None, token


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _url(host: str, port: int, root_path: str) -> str:
    """Where a browser on this machine goes."""
    if _is_wildcard(host):
        host = "[::1]" if ":" in host else "127.0.0.1"
    elif ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}{root_path.rstrip('/')}/"


def _tell(place: str) -> None:
    """Where it serves; it does so too where that cannot be told."""
    with contextlib.suppress(OSError), open(1, "w", encoding="utf-8", closefd=False) as out:
        out.write(place + "\n")
