"""Screen: a terminal taken over and given back. Only rows that changed are written, in one synchronized update."""

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"  # alternate screen, no cursor, no wrapping
_LEAVE = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_KEYS = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1bOC": "right", b"\x1bOD": "left", b"\x1b[H": "home", b"\x1b[F": "end", b"\x1bOH": "home", b"\x1bOF": "end",
    b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace", b"\t": "tab", b"\x1b": "escape",
}  # fmt: skip
_ESCAPE_S = 0.05  # an escape that nothing follows within this is the key


class Screen:
    """A context: inside of it the terminal shows frames and gives keys. Ends of the process give it back too."""

    def __init__(self) -> None:
        self._out = 1
        self._in = 0 if os.isatty(0) else None
        self._shown: list[str] = []
        self._size = (0, 0)
        self._modes: list[Any] | None = None
        self._wake_read, self._wake_write = -1, -1
        self._before: dict[signal.Signals, Any] = {}
        self.ended: int | None = None  # the signal that asks for the end

    def __enter__(self) -> "Screen":
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number, action in (
            (signal.SIGWINCH, self._resized), (signal.SIGTERM, self._end), (signal.SIGHUP, self._end),
            (signal.SIGINT, self._end), (signal.SIGTSTP, self._suspend),
        ):  # fmt: skip
            self._before[number] = signal.signal(number, action)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        signal.set_wakeup_fd(-1)
        for number, action in self._before.items():
            signal.signal(number, action)
        os.close(self._wake_read)
        os.close(self._wake_write)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            found = os.get_terminal_size(self._out)
        except OSError:
            return 80, 24
        return (found.columns or 80), (found.lines or 24)

    def show(self, rows: list[str]) -> None:
        """Bring the terminal to these rows."""
        if self.size != self._size:
            self._size, self._shown = self.size, []
        parts = [] if self._shown else ["\x1b[2J"]
        for number, row in enumerate(rows):
            if number >= len(self._shown) or self._shown[number] != row:
                parts.append(f"\x1b[{number + 1};1H\x1b[2K{row}")
        self._shown = rows
        if parts:
            self._write("".join([_BEGIN, *parts, _END]).encode("utf-8", "replace"))

    def keys(self, seconds: float) -> Iterator[str]:
        """The keys that come within so many seconds; a resize or a signal ends the waiting."""
        watched = [self._wake_read] + ([self._in] if self._in is not None else [])
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake_read in ready:
            os.read(self._wake_read, 512)
        if self._in is not None and self._in in ready:
            data = os.read(self._in, 1024)
            if not data:  # the terminal is gone
                self.ended = signal.SIGHUP
            if data.endswith(b"\x1b") and select.select([self._in], [], [], _ESCAPE_S)[0]:
                data += os.read(self._in, 1024)
            yield from _split(data)

    def _take(self) -> None:
        if self._in is not None:
            self._modes = termios.tcgetattr(self._in)
            tty.setcbreak(self._in, termios.TCSADRAIN)
        self._shown = []
        self._write(_ENTER)

    def _give_back(self) -> None:
        try:
            os.write(self._out, _LEAVE)
            if self._modes is not None and self._in is not None:
                termios.tcsetattr(self._in, termios.TCSADRAIN, self._modes)
        except (OSError, termios.error):  # the terminal is gone: nothing is left to give back
            return

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._out, rest) :]

    def _resized(self, number: int, frame: FrameType | None) -> None:
        self._size = (0, 0)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ended = number

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop, and take it again when we are continued."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()


def _split(data: bytes) -> Iterator[str]:
    """The names of keys; text as it is."""
    while data:
        found = next((known for known in sorted(_KEYS, key=len, reverse=True) if data.startswith(known)), None)
        if found is not None and not (found == b"\x1b" and len(data) > 1 and data[1:2] in b"[O"):
            yield _KEYS[found]
            data = data[len(found) :]
        elif data.startswith(b"\x1b"):  # a key that has no name here
            end = next((i for i in range(2, len(data)) if 0x40 <= data[i] <= 0x7E), len(data) - 1)
            data = data[end + 1 :]
        else:
            end = data.find(b"\x1b") if b"\x1b" in data else len(data)
            for at in range(end):
                if data[at : at + 1] in _KEYS:
                    end = at
                    break
            yield from data[: max(1, end)].decode("utf-8", "ignore")
            data = data[max(1, end) :]


def is_capable() -> bool:
    """Whether stdout is a terminal with a cursor that can be moved."""
    return os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb" and (sys.stdout.encoding or "").lower() != "ascii"
