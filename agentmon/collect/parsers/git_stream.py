"""What the lines of one stream have said so far, and which of them are no words of git's at all."""

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from agentmon.collect.parsers import git_frames
from agentmon.collect.parsers.git_blocks import Block
from agentmon.collect.parsers.git_echo import Echo
from agentmon.collect.parsers.git_history import Act
from agentmon.collect.parsers.git_prints import Kind

if TYPE_CHECKING:
    from agentmon.collect.parsers.git_calls import Planned

_LOG_HEADS = ("    ", "Date:", "commit ", "Merge:", "AuthorDate:", "Commit:", "CommitDate:")
_LOG_MORE = (
    " ",
    "diff --git",
    "index ",
    "--- ",
    "+++ ",
    "new file",
    "deleted file",
    "similarity",
    "rename ",
    "Binary files",
)
_NO_HUNK = (0, 0)
_DOUBT = 6  # lines that a hook may print behind a line like git's own, on a terminal
_WIDEST = 1200  # characters that the lines of a box may be put together to


class Showing(NamedTuple):
    """Where an act was shown: by whom, with what around it, on which stream; bare: nothing but marks around it."""

    kind: Kind
    form: str
    stream: str
    bare: bool


class StreamState:
    """The open act of one stream and the hints that lines have given for the next one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.block: Block | None = None
        self.showing: Showing | None = None
        self.doubted: list[tuple[Act, Showing]] = []  # commits without a diffstat, maybe the print of a hook
        self.doubt = 0  # for how many lines
        self.echo = Echo()
        self.plan: list[Planned] = []  # what the last command that succeeded has done, as far as it is not told yet
        self.range: tuple[str, str] | None = None  # of the fast-forward to come
        self.detaching = False
        self.submodules = False
        self._box = ""
        self._room = 0  # that the last line of the box had left
        self._hunk = _NO_HUNK
        self._log = False

    def doubts(self, act: Act, showing: Showing) -> None:
        """A commit that the next one may show to be no words of git's. Through pipes no hook writes to stdout."""
        self.doubted.append((act, showing))
        self.doubt = _DOUBT if self.name == "tty" else 0

    @property
    def attentive(self) -> bool:
        """Whether the next line matters, whatever it says."""
        return bool(self.block or self._box or self.doubted or self._log or self.echo.open or self._hunk != _NO_HUNK)

    def in_listing(self, text: str) -> bool:
        """Whether the line is content of a diff or of a log, not said by git now."""
        if self._hunk != _NO_HUNK:
            if self._in_hunk(text):
                return True
            self._hunk = _NO_HUNK
        if text.startswith("@@ -"):
            match = _hunk_header().match(text)
            self._hunk = (int(match[1] or 1), int(match[2] or 1)) if match else _NO_HUNK
            return True
        if text.startswith("Author: "):
            self._log = True
            return True
        if self._log:
            self._log = not text or text.startswith(_LOG_HEADS) or text.startswith(_LOG_MORE)
        return self._log

    def _in_hunk(self, text: str) -> bool:
        old, new = self._hunk
        mark = text[:1] or " "
        if mark not in "+- \\":
            return False
        if mark != "\\":
            self._hunk = (max(0, old - (mark != "+")), max(0, new - (mark != "-")))
        return True

    def unwrapped(self, text: str) -> list[str]:
        """The lines that are complete now: those of a drawn box are put together where its width broke them."""
        here = git_frames.boxed(text)
        before, self._box = self._box, ""
        if not here:
            return [before, text] if before else [text]
        if before and self._goes_on(here.content, text) and len(before) < _WIDEST:
            border = before.strip()[0]
            self._box = f"{before.rstrip().rstrip(border).rstrip()} {here.content} {border}"
            self._room = here.width - len(here.content)
            return []
        self._box, self._room = text, here.width - len(here.content)
        return [before] if before else []

    def _goes_on(self, content: str, text: str) -> bool:
        """Whether the line before broke off because the first word of this one had no room in it."""
        indented = text.strip()[1:].startswith("   ")
        return bool(content) and not indented and len(content.partition(" ")[0]) + 1 > self._room

    def rest(self) -> str:
        """The line of a box that nothing followed."""
        before, self._box = self._box, ""
        return before


@cache
def _hunk_header() -> re.Pattern[str]:
    return re.compile(r"^@@ -\d{1,9}(?:,(\d{1,6}))? \+\d{1,9}(?:,(\d{1,6}))? @@")
