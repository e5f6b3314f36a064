"""Access: how a NATS server is named and reached, the same options for every command that does."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentmon.commands.extras import extra

if TYPE_CHECKING:
    from agentmon.fleet.jetstream import Access

F = TypeVar("F", bound=Callable[..., Any])
_PATH = click.Path(dir_okay=False)
_NAME = re.compile(r"[!-~]{1,200}")
_NOT_IN_NAMES = frozenset(".*>/\\")


class Name(click.ParamType[str]):
    """What a NATS server takes as the name of a stream or a consumer."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name. Raises click.BadParameter."""
        if not _NAME.fullmatch(value) or _NOT_IN_NAMES & {*value}:
            self.fail(f"{value!r} is no name for NATS: letters, digits, - and _, 200 at most", param, ctx)
        return value


def reached(command: F) -> F:
    """Options `creds`, `tls_ca`, `tls_cert`, `tls_key`."""
    for flag, what in (
        ("--tls-key", "NATS: its key (PEM)."),
        ("--tls-cert", "NATS: a certificate of our own (PEM)."),
        ("--tls-ca", "NATS: who signed the server's certificate (PEM)."),
        ("--creds", "NATS: a credentials file."),
    ):
        command = click.option(flag, type=_PATH, metavar="FILE", help=what)(command)
    return command


def from_server(command: F) -> F:
    """Option `source` (--from), and how it is reached."""
    what = "The fleet's NATS server, nats://HOST[:PORT], instead of this machine."
    return click.option("--from", "source", metavar="URL", help=what)(reached(command))


def access(url: str, creds: str | None, tls_ca: str | None, tls_cert: str | None, tls_key: str | None) -> "Access":
    """Where it points. Raises AgentmonError."""
    with extra("nats"):
        from agentmon.fleet import jetstream

    return jetstream.access(url, creds, tls_ca, tls_cert, tls_key)
