"""Monitor: leader of the child's terminal session, and its parent.

A child whose parent sits in another session is in an orphaned process group, and the kernel then throws Ctrl-Z away.
So, as in sudo, a small process leads the session, starts the child, reports how it stops and ends, and signals it.
"""

import contextlib
import fcntl
import marshal
import os
import select
import signal
import struct
import termios
from typing import Any, NoReturn

from agentmon.descriptors import close_others
from agentmon.relay.child import Command, DeathSignal, Wiring, become
from agentmon.relay.signals import Arrivals, Inherited, changed_children
from agentmon.relay.terminal import Modes

_ORDER = struct.Struct("iii")  # signal number, to the whole group?, foreground (-1: as it is)


class MonitorLink:
    """The relay's side: orders out, reports in."""

    def __init__(self, pid: int, report_fd: int, order_fd: int) -> None:
        self.pid, self.report_fd, self._order_fd = pid, report_fd, order_fd
        self._buffer = b""

    def signal(self, number: int, *, group: bool, foreground: bool | None = None) -> None:
        """Signal the child or its group; before that, make it the terminal's foreground group or not."""
        with contextlib.suppress(OSError):
            os.write(self._order_fd, _ORDER.pack(number, group, -1 if foreground is None else foreground))

    def reports(self) -> list[dict[str, Any]] | None:
        """What has come: {"pid"}, {"stopped"}, or {"status", "usage"}; None when the monitor is gone."""
        data = os.read(self.report_fd, 65536)
        if not data:
            return None
        self._buffer += data
        reports = []
        while len(self._buffer) >= 4:
            end = 4 + struct.unpack_from("<I", self._buffer)[0]
            if len(self._buffer) < end:
                break
            reports.append(marshal.loads(self._buffer[4:end]))
            self._buffer = self._buffer[end:]
        return reports


def start(
    command: Command, wiring: Wiring, inherited: Inherited, death: DeathSignal, *, foreground: bool, modes: Modes | None
) -> tuple[MonitorLink, int]:
    """Fork the monitor; the link to it, and where exec's failure can be read. modes: what to give the user's terminal
    back if the relay is killed."""
    error_read, error_write = os.pipe()
    report_read, report_write = os.pipe()
    order_read, order_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(order_write)
            _lead(command, wiring, inherited, death, foreground, modes, error_write, report_write, order_read)
        finally:
            os._exit(1)
    for fd in (error_write, report_write, order_read):
        os.close(fd)
    return MonitorLink(pid, report_read, order_write), error_read


def _lead(
    command: Command, wiring: Wiring, inherited: Inherited, death: DeathSignal, foreground: bool, modes: Modes | None,
    error_fd: int, report_fd: int, order_fd: int,
) -> NoReturn:  # fmt: skip
    slave = wiring.slave
    assert slave is not None
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    monitor = os.getpid()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if foreground:
            os.tcsetpgrp(slave, os.getpid())  # SIGTTOU is blocked: it does not stop us
        become(command, wiring, inherited, error_fd, death, parent=monitor)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    user_tty = os.dup(0) if modes is not None else None
    keep = {report_fd, order_fd, slave} | ({user_tty} if user_tty is not None else set())
    close_others(keep)
    _report(report_fd, {"pid": child})
    arrivals = Arrivals()
    poll = select.poll()
    poll.register(order_fd, select.POLLIN)
    poll.register(arrivals.fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == arrivals.fd:
                if any(a.number == signal.SIGCHLD for a in arrivals.read()):
                    _watch(child, slave, report_fd)
                continue
            order = os.read(order_fd, _ORDER.size)
            if not order:  # the relay was killed
                if user_tty is not None and modes is not None:
                    with contextlib.suppress(termios.error):
                        termios.tcsetattr(user_tty, termios.TCSANOW, modes)
                with contextlib.suppress(OSError):
                    os.killpg(child, signal.SIGTERM)
                    os.killpg(child, signal.SIGCONT)
                os._exit(0)
            number, group, front = _ORDER.unpack(order)
            if front >= 0:
                with contextlib.suppress(OSError):
                    os.tcsetpgrp(slave, child if front else monitor)
            with contextlib.suppress(OSError):
                (os.killpg if group else os.kill)(child, number)


def _watch(child: int, slave: int, report_fd: int) -> None:
    for pid, status, usage in changed_children():
        if pid != child:
            continue
        if os.WIFSTOPPED(status):
            _report(report_fd, {"stopped": os.WSTOPSIG(status)})
            continue
        with contextlib.suppress(OSError):
            # the session's end hangs up the foreground group: let that be ours, not one that a daemon lives in
            os.tcsetpgrp(slave, os.getpgrp())
        os.close(slave)
        _report(report_fd, {"status": status, "usage": usage})
        os._exit(0)


def _report(fd: int, fields: dict[str, Any]) -> None:
    data = marshal.dumps(fields)
    os.write(fd, struct.pack("<I", len(data)) + data)
