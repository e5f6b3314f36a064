"""Progress: one line on a terminal that comes where something takes a while, and goes."""

import sys
import time
from collections.abc import Callable

_REPORTED_S = 0.1


class Progress:
    """Draws how far something is, on stderr. wanted: False where nobody would see it."""

    def __init__(self, wanted: bool, what: str) -> None:
        self._wanted, self._what = wanted, what
        self._next = time.monotonic() + 2 * _REPORTED_S
        self._drawn = False

    def __call__(self, done: int, total: int) -> None:
        if self._wanted and total and time.monotonic() >= self._next:
            self._next = time.monotonic() + _REPORTED_S
            self._drawn = True
            filled = 30 * done // total
            sys.stderr.write(f"\r{self._what} [{'#' * filled}{'.' * (30 - filled)}] {done:,}/{total:,}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave no trace."""
        if self._drawn:
            self._drawn = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def say_around(progress: Progress, say: Callable[[str], None]) -> Callable[[str], None]:
    """`say`, with the line out of its way."""

    def said(text: str) -> None:
        progress.clear()
        say(text)

    return said
