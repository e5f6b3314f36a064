"""Jobs: the child stops and goes on, and we with it, as the shell expects of one job."""

import _thread
import contextlib
import os
import signal
import time

from agentmon.relay.monitor import MonitorLink
from agentmon.relay.signals import Arrival
from agentmon.relay.terminal import Terminal, get_size, set_size

_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_RESUMED_S = 0.25


class Session:
    """The child's terminal session: signals into it, its stops out of it, and who has the user's terminal."""

    def __init__(self, link: MonitorLink, terminal: Terminal | None, master: int) -> None:
        self.link, self._terminal, self._master = link, terminal, master
        self._told_to_stop = False
        self._resumed_at = 0.0

    @property
    def in_front(self) -> bool:
        """Whether the terminal is ours to relay for now."""
        return self._terminal is None or self._terminal.foreground()

    def come_to_front(self) -> None:
        """Our job may have been brought to the foreground without a signal (`fg` of a running job)."""
        if self._terminal is not None and not self._terminal.is_raw:
            self._terminal.raw()
            self.link.signal(0, group=True, foreground=True)

    def forward(self, arrival: Arrival) -> None:
        """Pass a signal on: a terminal's key to the whole group, any other to the child alone."""
        number = arrival.number
        if number == signal.SIGCONT:
            if time.monotonic() - self._resumed_at > _RESUMED_S:
                self.link.signal(number, group=arrival.from_kernel, foreground=self.in_front)
            return
        if number in _STOPS:
            self._told_to_stop = True
        self.link.signal(number, group=arrival.from_kernel)

    def resize(self) -> None:
        """The user's terminal has another size; the kernel signals the session's foreground group."""
        size = get_size(0)
        if size is not None:
            with contextlib.suppress(OSError):
                set_size(self._master, size)

    def child_stopped(self, number: int) -> None:
        """Stop with the child; go on with it when the shell continues us."""
        if number in (signal.SIGTTIN, signal.SIGTTOU) and self._terminal is not None and self._terminal.foreground():
            self.link.signal(signal.SIGCONT, group=True, foreground=True)
            return
        if self._terminal is not None:
            self._terminal.restore()
        with contextlib.suppress(OSError):
            os.kill(self.link.pid, signal.SIGSTOP)
        # a key stops the whole job: a script around us, for one
        stop_ourselves(number, job=not self._told_to_stop)
        self._told_to_stop = False
        with contextlib.suppress(OSError):
            os.kill(self.link.pid, signal.SIGCONT)
        self._resumed_at = time.monotonic()
        front = self.in_front
        if self._terminal is not None and front:
            self._terminal.raw()
            self.resize()
        self.link.signal(signal.SIGCONT, group=True, foreground=front)


def stop_ourselves(number: int, *, job: bool = False) -> None:
    """Stop as the child did, so that the shell says the same of us; returns when we are continued.

    job: together with the rest of our process group. In an orphaned group the kernel discards the stop, and we return
    at once.
    """
    if number not in _STOPS:
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    if job:
        os.killpg(os.getpgrp(), number)
    else:
        signal.pthread_kill(_thread.get_ident(), number)
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})


def die_of_interrupt() -> None:
    """Ctrl-C ended the child: end in the same way, together with what else runs in our job, so that a script around us
    ends as it would bare."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.killpg(os.getpgrp(), signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.pthread_kill(_thread.get_ident(), signal.SIGINT)
