"""Output: what commands say on stderr, and print on stdout."""

import contextlib

import click

from agentmon.errors import AgentmonError


def say(text: str) -> None:
    """One line for a person, on stderr. Where that is full or gone, nothing else is the worse for it."""
    with contextlib.suppress(OSError):
        click.echo(f"agentmon: {text}", err=True)


def write(text: str) -> int:
    """All of it to stdout; the exit status, 141 (as of SIGPIPE) where nobody reads. Raises AgentmonError."""
    try:
        with open(1, "w", encoding="utf-8", errors="replace", closefd=False) as out:
            out.write(text)
    except BrokenPipeError:
        return 141
    except OSError as error:
        raise unwritten(error) from None
    return 0


def unwritten(error: OSError) -> AgentmonError:
    """What a person is told of an output that is full, or not open."""
    return AgentmonError(f"stdout: {error.strerror}; not all of it was written")
