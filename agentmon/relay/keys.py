"""Keys: what the user types (or pipes in) on its way to the child's own terminal."""

import contextlib
import fcntl
import os
import termios
import time

from agentmon.relay.terminal import Terminal, ending_keys

_CHUNK = 64 * 1024
_SETTLE_S = 0.05
_END_OF_FILE = b"\x04"


class Keys:
    """Input for the pseudo-terminal `master`. terminal: where it comes from, None where stdin is a pipe or a file.

    A key that may end the child goes alone, and for a moment nothing follows: what was typed behind it may be meant
    for the shell.
    """

    def __init__(self, master: int | None, terminal: Terminal | None, *, open_: bool) -> None:
        self._master, self._terminal = master, terminal
        self._waiting = bytearray()
        self._settle_until = 0.0
        self._at_line_start = True
        self.open = open_

    @property
    def settling_s(self) -> float:
        """Seconds until input goes on; 0 or less: now."""
        return self._settle_until - time.monotonic()

    @property
    def waiting(self) -> bool:
        """Whether input waits for the child's terminal to take it."""
        return bool(self._waiting) and self._master is not None

    def read(self) -> None:
        """Take what stdin has."""
        try:
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.open = False
            if self._terminal is None and self._master is not None:
                # within a line the first one only ends the line
                data = _END_OF_FILE if self._at_line_start else 2 * _END_OF_FILE
        self._at_line_start = data.endswith(b"\n")
        self._waiting += data
        self.write()

    def write(self) -> None:
        """Pass on what the child's terminal takes."""
        if self._master is None or self.settling_s > 0:
            return
        size = len(self._waiting)
        endings = ending_keys(self._master) if self._terminal is not None else b""
        first = min((at for at in map(self._waiting.find, endings) if at >= 0), default=size)
        try:
            done = os.write(self._master, self._waiting[: first + 1])
        except BlockingIOError:
            return
        except OSError:
            done = size
        if done > first:
            self._settle_until = time.monotonic() + _SETTLE_S
        del self._waiting[:done]

    def close(self) -> None:
        """The child or its terminal has gone."""
        self.open = False

    def hang_up(self) -> None:
        """The child's terminal was closed."""
        self.open = False
        self._master = None

    def give_back(self) -> None:
        """Give the terminal what the child did not get, where the kernel allows that (TIOCSTI)."""
        with contextlib.suppress(OSError):
            for byte in self._waiting if self._terminal is not None else b"":
                fcntl.ioctl(0, termios.TIOCSTI, bytes([byte]))
