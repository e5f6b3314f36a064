"""Stop: ends a child that ran too long, or that a budget ended. The relay alone signals the child."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

TIMEOUT_EXIT = 124  # as timeout(1) has it
BUDGET_EXIT = 123
STOP_NOTE, KILL_NOTE, END_NOTE = "\x01stop", "\x01kill", "\x01end "  # what the collector asks for, among its notes


class Patience(NamedTuple):
    """timeout: seconds that the child may run, None for ever. grace: seconds between SIGTERM and SIGKILL."""

    timeout: float | None = None
    grace: float = 10.0


class Stop:
    """signal_all: sends a signal to the child and to what it started."""

    def __init__(self, patience: Patience, signal_all: Callable[[int], None]) -> None:
        self._patience, self._signal_all = patience, signal_all
        self._end_at = None if patience.timeout is None else time.monotonic() + patience.timeout
        self._kill_at: float | None = None
        self.exit_code: int | None = None

    def ask(self, exit_code: int, *, kill: bool = False) -> None:
        """End the child: SIGTERM, then SIGKILL; at once SIGKILL where that was asked for."""
        if self.exit_code is None or kill:
            self.exit_code = self.exit_code or exit_code
            self._end_at = None
            self._signal_all(signal.SIGKILL if kill else signal.SIGTERM)
            self._signal_all(signal.SIGCONT)  # a stopped process has to run to end
            self._kill_at = None if kill else time.monotonic() + self._patience.grace

    def due_ms(self) -> int | None:
        """Milliseconds until `check` has something to do; None for never."""
        times = [at for at in (self._end_at, self._kill_at) if at is not None]
        return max(0, round((min(times) - time.monotonic()) * 1000) + 1) if times else None

    def check(self) -> str | None:
        """Do what is due; a line for the user if something was."""
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            self._signal_all(signal.SIGKILL)
            return f"the command did not end within {self._patience.grace:g} s of SIGTERM: SIGKILL"
        if self._end_at is not None and now >= self._end_at:
            self.ask(TIMEOUT_EXIT)
            return f"the command ran longer than {self._patience.timeout:g} s: SIGTERM"
        return None


def family(pid: int) -> list[int]:
    """The process and what descends from it, as far as the kernel lists children (Linux); ancestors first."""
    found, todo = [], [pid]
    while todo:
        process = todo.pop(0)
        found.append(process)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{process}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{process}/task/{task}/children", "rb") as file:
                    todo.extend(map(int, file.read().split()))
    return found
