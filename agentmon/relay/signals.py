"""Signals: what the caller gave us, what arrives, and whether the child has it already."""

import _thread
import contextlib
import os
import select
import signal
import struct
from collections.abc import Iterator
from typing import NamedTuple

from agentmon.descriptors import close_others

CATCHABLE = frozenset(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
RESET_BY_PYTHON = frozenset(s for s in (signal.SIGPIPE, getattr(signal, "SIGXFSZ", None)) if s is not None)
_NOTE = struct.Struct("iii")
_TURN_MS, _TURNS = 100, 50  # a witness that somebody has stopped is not waited for any longer
SI_KERNEL = 0x80


class Inherited(NamedTuple):
    """The caller's signal mask and ignored signals, as the child must find them.

    Python's own start ignores SIGPIPE and SIGXFSZ; what they were before cannot be known: the child gets the default.
    """

    mask: frozenset[int]
    ignored: frozenset[int]

    def restore(self) -> None:
        """In the child, right before exec: dispositions first, the mask last, as it may deliver."""
        for number in CATCHABLE | {signal.SIGCHLD}:
            try:
                signal.signal(number, signal.SIG_IGN if number in self.ignored else signal.SIG_DFL)
            except (OSError, ValueError):
                continue
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


def hold() -> Inherited:
    """Block every signal, so that none is lost or answered by Python before the child is there to have it."""
    ignored = frozenset(s for s in CATCHABLE if signal.getsignal(s) == signal.SIG_IGN) - RESET_BY_PYTHON
    mask = frozenset(int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, CATCHABLE))
    if signal.SIGCHLD in ignored:  # else children would vanish without a status
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return Inherited(mask, frozenset(int(s) for s in ignored))


class Arrival(NamedTuple):
    """A signal that came to us. sender: a pid, 0 for the kernel; code: siginfo's si_code."""

    number: int
    code: int
    sender: int

    @property
    def from_kernel(self) -> bool:
        """Sent by the kernel: a terminal's key, a hang-up, a limit."""
        return self.code == SI_KERNEL or (self.code > 0 and self.sender == 0)


class Arrivals:
    """Blocked signals, one by one, readable at `fd`.

    A thread waits for them in sigwaitinfo(2): unlike a handler that tells who sent them, and it costs nothing while
    nothing comes. Start it after the last fork.
    """

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        _thread.start_new_thread(self._wait, ())

    def _wait(self) -> None:
        full = getattr(signal, "sigwaitinfo", None)
        while True:
            if full is not None:
                info = full(CATCHABLE)
                note = (info.si_signo, info.si_code, info.si_pid)
            else:  # macOS
                note = (signal.sigwait(CATCHABLE), 0, 0)
            os.write(self._write, _NOTE.pack(*note))

    def read(self) -> list[Arrival]:
        """All that has come since."""
        try:
            data = os.read(self.fd, _NOTE.size * 256)
        except BlockingIOError:
            return []
        return [Arrival(*_NOTE.unpack_from(data, at)) for at in range(0, len(data), _NOTE.size)]


def changed_children() -> Iterator[tuple[int, int, tuple[float, ...]]]:
    """Children that have ended or stopped since: pid, wait status, and struct rusage as a tuple."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status, tuple(usage)


def detached_fork(keep: set[int]) -> bool:
    """Fork a process that is no child of ours; True in it. It keeps only `keep` of the descriptors open.

    Our children are what a shell stops and waits for, and what people see below us: only the command belongs there.
    """
    if os.fork():  # who is in between ends at once, and is reaped with the others
        return False
    if os.fork():
        os._exit(0)
    close_others(keep | {0, 1, 2})
    null = os.open(os.devnull, os.O_RDWR)
    for fd in {0, 1, 2} - keep:
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    return True


class Witness:
    """Tells a signal to the whole process group from one to us alone.

    Ctrl-C, `kill -- -PGID`, a service manager that signals every process: the child has these already, and would get
    them twice. siginfo does not tell. A process in the same group, which only holds its signals, does: what reached it
    as well was not meant for us alone.
    """

    def __init__(self) -> None:
        its_read, self._ask = os.pipe()
        self._answer, its_write = os.pipe()
        self._asked = 0
        if detached_fork({its_read, its_write}):
            self._hold(its_read, its_write)
        os.close(its_read)
        os.close(its_write)
        self.fds = frozenset({self._ask, self._answer})

    def _hold(self, asked_fd: int, answer_fd: int) -> None:
        try:
            while asked := os.read(asked_fd, 2):
                number, turn = asked
                seen = number in signal.sigpending()
                if seen:
                    signal.sigwait({number})
                os.write(answer_fd, bytes([turn, seen]))
        finally:
            os._exit(0)

    def saw(self, number: int) -> bool:
        """Whether the signal that we just got came to the whole group."""
        with contextlib.suppress(OSError):
            # kill(2) walks a group under the kernel's list lock: once setpgid(2) had that, the walk is over
            os.setpgid(0, os.getpgrp())
        try:
            self._asked = (self._asked + 1) % 256
            os.write(self._ask, bytes([number, self._asked]))
            poll = select.poll()
            poll.register(self._answer, select.POLLIN)
            for _ in range(_TURNS):  # and not once for all that time: the whole machine may have stood still for it
                if poll.poll(_TURN_MS):
                    answer = os.read(self._answer, 2)
                    if not answer or answer[0] == self._asked:  # else it is late, and to what was asked before
                        return answer[1:] == b"\1"
        except OSError:
            pass
        return False
