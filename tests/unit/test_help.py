"""Help: every command has examples, and they are what it takes."""

import gc
import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from agentmon.cli import COMMANDS, agentmon


def commands() -> Iterator[tuple[str, ...]]:
    """All of them, with those below them; the program itself first."""
    yield ()
    with click.Context(agentmon, info_name="agentmon", resilient_parsing=True) as ctx:
        for name in COMMANDS:
            yield (name,)
            command = agentmon.get_command(ctx, name)
            if isinstance(command, click.Group):
                yield from ((name, below) for below in command.list_commands(ctx))


def help_of(words: tuple[str, ...]) -> str:
    done = CliRunner().invoke(agentmon, [*words, "--help"], standalone_mode=False, terminal_width=80)
    assert done.exception is None
    return done.output


def examples(text: str) -> list[str]:
    """The lines below `Examples:`."""
    block = text.split("\n  Examples:\n", 1)[1].split("\n\n")[0]
    return [line.strip() for line in block.splitlines()]


def calls(example: str) -> Iterator[list[str]]:
    """The words of each agentmon in a line for a shell; one may stand in quotes, in a command substitution."""
    inner = re.search(r"\$\((.*?)\)", example)
    lexer = shlex.shlex(inner[1] if inner else example, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True  # an address is one word
    words: list[str] = []
    for word in [*lexer, "|"]:
        if word in ("|", "&&", ";", ">", ">>", ">&", "<"):
            if words[:1] == ["agentmon"]:
                yield words[1:]
            words = []
        else:
            words.append(word)


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_examples_are_accepted(words):
    text = help_of(words)
    found = [call for line in examples(text) for call in calls(line)]
    assert found
    for call in found:
        assert tuple(call[: len(words)]) == words
        with agentmon.make_context("agentmon", list(call)) as ctx:
            rest = [*ctx._protected_args, *ctx.args]
            while isinstance(ctx.command, click.Group) and rest:
                name, command, rest = ctx.command.resolve_command(ctx, rest)
                assert command is not None
                ctx = command.make_context(name, rest, parent=ctx)  # raises where anything is not taken
                rest = [*ctx._protected_args, *ctx.args]
            assert not rest


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_it_fits_a_terminal_of_80_columns(words):
    assert max(len(line) for line in help_of(words).splitlines()) <= 80


def test_the_list_says_what_the_commands_say_of_themselves():
    with click.Context(agentmon, info_name="agentmon", resilient_parsing=True) as ctx:
        for name, what in COMMANDS.items():
            command = agentmon.get_command(ctx, name)
            assert command is not None
            first = " ".join((command.help or "").split("\n\n")[0].split())
            assert first == what, name
    assert list(COMMANDS) == re.findall(r"^  ([a-z]+) ", help_of(()).split("Commands:")[1], re.M)


def test_garbage_is_collected_again_once_a_command_is_loaded() -> None:
    """At the start it is not: modules are none."""
    gc.disable()
    try:
        with click.Context(agentmon, info_name="agentmon") as ctx:
            agentmon.get_command(ctx, "schema")
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
