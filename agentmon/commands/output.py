"""Output: what commands say on stderr, and print on stdout."""

import click


def say(text: str) -> None:
    """One line for a person, on stderr."""
    click.echo(f"agentmon: {text}", err=True)


def write(text: str) -> int:
    """All of it to stdout; the exit status, 141 (as of SIGPIPE) where nobody reads."""
    try:
        with open(1, "w", encoding="utf-8", errors="replace", closefd=False) as out:
            out.write(text)
    except BrokenPipeError:
        return 141
    return 0
