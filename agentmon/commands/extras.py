"""Extras: what some commands need beyond the rest, and how a person gets it."""

from collections.abc import Iterator
from contextlib import contextmanager

from agentmon.errors import AgentmonError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports that need the extra of this name. Raises AgentmonError where it is not installed."""
    try:
        yield
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "agentmon":
            raise
        what = str(error).splitlines()[0]  # it is there, and lacks a library of the system
        if isinstance(error, ModuleNotFoundError):
            what = f"{error.name} is not installed"
        raise AgentmonError(
            f"{what}; it comes with the extra {name!r} (in a checkout: pip install '.[{name}]')"
        ) from None
