"""Git in text: the Parser around GitReader."""

from collections.abc import Iterable

from agentmon.collect.parsers import Line, git_echo, git_shapes
from agentmon.collect.parsers.git_reader import GitReader
from agentmon.events import Finding


class Git:
    """Git's own output, and what orchestrators print about git, line by line."""

    def __init__(self, reader: GitReader) -> None:
        self._reader = reader
        self.checks = git_shapes.checks()
        self.needles = tuple(
            sorted(git_shapes.needles() | set(git_echo.NEEDLES) | {"@@ -", "Author: ", '"git rebase --continue"'})
        )

    @property
    def attentive(self) -> bool:
        """Whether an act is open, so that the next line belongs to it."""
        return self._reader.attentive

    def feed(self, line: Line) -> Iterable[Finding]:
        """What this line completes."""
        return self._reader.line(line.text, line.stream)

    def close(self) -> Iterable[Finding]:
        """What was waiting for more."""
        return self._reader.close()
