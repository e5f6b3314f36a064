"""Commands that an agent shows in text, with the status that it shows after them.

Codex prints `/bin/bash -lc '…' in DIR` and `succeeded in 12ms:`, mini-swe-agent the command and `<returncode>`. What
git does in silence (`-q`, `git branch X`) is known from these two alone; all else is read from git's own lines.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when the first command is seen
    from agentmon.collect.parsers.git_calls import Planned

NEEDLES = (
    "/bash -lc ", "/bash -c ", "/sh -c ", "/sh -lc ", "/zsh -lc ", "/zsh -c ", "git commit -q", "git checkout -q",
    "git switch -q", "git merge -q", "git push -q", "git pull -q", "git branch ", "git tag ", "git reset --soft",
)  # fmt: skip
_LINES = 200
_WAIT = 12
_SHELL = re.compile(r"^(?:/[\w./-]{1,80}/)(?:bash|zsh|sh|dash) -l?c ")
_COMMAND = re.compile(r"^(?:\$ )?(?:[A-Z_]{1,30}=\S{1,60} )?(?:git|cd|echo|printf|sed|mkdir|touch|cat|python3?|rm) \S")
_SILENT = re.compile(r"q|branch|tag|reset|stash")  # what every command that git may carry out in silence holds
_STATUS = re.compile(
    r"^\s{0,4}(?:(?P<good>succeeded)|exited (?P<code>-?\d{1,5})|(?P<bad>failed))(?: in [\d.]{1,12} ?m?s)?:?$"
    r"|^\s{0,4}\W{0,4}(?:[Ee]xit(?:ed| code| status)?(?: with(?: code)?)?:? |<returncode>|returncode: ?)"
    r"(?P<code2>-?\d{1,5})\b.{0,40}$"
)


class Echo:
    """The last command of one stream, until its status is known."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._left = 0
        self._shell = False
        self._number_next = False

    @property
    def open(self) -> bool:
        """Whether the status is still to come."""
        return bool(self._lines)

    def take(self, line: str) -> "list[Planned]":
        """What the command whose status this line tells has done in silence, and what it will show, in order."""
        if self._lines and (code := self._code(line)) is not None:
            lines, self._lines = self._lines, []
            return _planned(self._text(lines)) if code == 0 else []
        if _SHELL.match(line):
            self._lines, self._left, self._shell = [line], _LINES, True
        elif self._lines and self._left > 0:
            self._left -= 1
            if self._shell:
                self._lines.append(line)
        elif _COMMAND.match(line) and _SILENT.search(line) and self._is_silent(line.removeprefix("$ ")):
            self._lines, self._left, self._shell = [line.removeprefix("$ ")], _WAIT, False
        else:
            self._lines = []
        return []

    @staticmethod
    def _is_silent(command: str) -> bool:
        return any(planned.intent.silent for planned in _planned(command))

    def _code(self, line: str) -> int | None:
        if self._number_next:
            self._number_next = False
            return int(line) if line.strip().lstrip("-").isdigit() and len(line) < 7 else None
        if line.strip() == "<returncode>":
            self._number_next = True
            return None
        match = _STATUS.match(line[:200])
        if not match:
            return None
        return 0 if match["good"] else 1 if match["bad"] else int(match["code"] or match["code2"])

    def _text(self, lines: list[str]) -> str:
        text = "\n".join(lines)
        if self._shell:
            text = text[: text.rfind(" in /")] if " in /" in lines[-1] else text
        return text


def _planned(command: str) -> "list[Planned]":
    from agentmon.collect.parsers.git_calls import plan

    return plan(command, 0)[0]
