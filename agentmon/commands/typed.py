"""Typed: the answer to TAB on a line that is being typed.

The first line of an answer is what kind it is, with fields behind tabs; what is behind `words` follows, a line each:

    words TYPED                   candidates and descriptions; each candidate stands for all of the word TYPED
    files PREFIX PATH             paths that begin with PATH; PREFIX (`--html=`, `unix:`) stands before it in the word
    folders PREFIX PATH           the same
    command WORDS CHARACTERS      a command of its own begins after so many words, and characters, of the line
"""

from dataclasses import dataclass

import click
from click.shell_completion import CompletionItem, ShellComplete

from agentmon.views.text import clean

_PROBE = "\0"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as a command gets it, and where in the line it begins (characters)."""

    text: str
    start: int


def answer(program: click.Command, line: str) -> str:
    """What is offered at the end of a line; the line begins with the program's name."""
    words = split(line)
    args, current = [word.text for word in words[1:-1]], words[-1].text
    number = _command(program, args, current)
    if number is not None:
        return f"command\t{number + 1}\t{words[number + 1].start}\n"
    option, equals, value = current.partition("=")
    joined = bool(equals) and option.startswith("--")
    items = ShellComplete(program, {}, "agentmon", "").get_completions(args, current)
    prefix, typed = (f"{option}=", value) if joined else ("", current)
    for item in items:
        if item.type in ("file", "dir"):
            path = str(item.value)
            prefix = _plain(current[: len(current) - len(path)])
            return f"{'files' if item.type == 'file' else 'folders'}\t{prefix}\t{_plain(path)}\n"
    lines = (_line(prefix, item) for item in items if item.value.startswith(typed))
    return f"words\t{_plain(current)}\n" + "".join(lines)


def split(line: str) -> list[Word]:
    """The words of a line that is being typed, as a POSIX shell quotes them; the last one is the one that is typed
    just now, and may be empty or have an open quote."""
    words, text, start, quote, at = list[Word](), "", -1, "", 0
    while at < len(line):
        sign = line[at]
        if not quote and sign in " \t\n":
            if start >= 0:
                words.append(Word(text, start))
            text, start = "", -1
        else:
            start = at if start < 0 else start
            follows = line[at + 1 : at + 2]
            if sign == "\\" and quote != "'" and (not quote or follows in ('"', "\\", "$", "`")):
                text += follows
                at += 1
            elif sign == quote:
                quote = ""
            elif not quote and sign in "'\"":
                quote = sign
            else:
                text += sign
        at += 1
    return [*words, Word(text, len(line) if start < 0 else start)]


def _command(program: click.Command, args: list[str], current: str) -> int | None:
    """The place among `args` (and `current` behind them) where the command of `run` begins; None where it has not."""
    if args[:1] != ["run"] or not isinstance(program, click.Group):
        return None
    typed = ("-" if current.startswith("-") else "") + _PROBE
    with click.Context(program, info_name="agentmon", resilient_parsing=True) as parent:
        run = program.get_command(parent, "run")
        assert run is not None
        given = [*args[1:], typed]
        with run.make_context("run", [*given], parent=parent, resilient_parsing=True) as ctx:
            command = ctx.params.get("argv") or ()
    return 1 + len(given) - len(command) if typed in command else None


def _line(prefix: str, item: CompletionItem[str]) -> str:
    return f"{_plain(prefix + item.value)}\t{_plain((item.help or '').strip())}\n"


def _plain(text: str) -> str:
    """Without what would end a line or a field, or what a terminal would obey."""
    return clean(" ".join(text.split("\n")).replace("\t", " "))
