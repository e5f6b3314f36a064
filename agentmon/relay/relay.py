"""Relay: the process that the user started. It copies bytes, passes signals on, and hands the bytes to the collector.

One loop, one thing per wake-up: read, write through, hand on. It waits for nobody but the child's own reader.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import sys
import termios
import time
from typing import NoReturn

from agentmon.descriptors import Writer, close_others, let_go
from agentmon.relay import channel as frames
from agentmon.relay import child, monitor
from agentmon.relay.interests import BAD, Interests
from agentmon.relay.jobs import Session, die_of_interrupt, stop_ourselves
from agentmon.relay.keys import Keys
from agentmon.relay.reporter import Reporter
from agentmon.relay.signals import Arrival, Arrivals, Inherited, Witness, changed_children
from agentmon.relay.stop import BUDGET_EXIT, END_NOTE, KILL_NOTE, STOP_NOTE, Patience, Stop, family
from agentmon.relay.terminal import Terminal, get_size, set_size

CHUNK = 64 * 1024
_LATE_TTY_MS = 30  # a pseudo-terminal passes bytes on through a kernel worker: wait this long for the last of them
_FOREGROUND_MS = 500
_DONE = -1
_OURS_ALONE = {signal.SIGPIPE, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD}


class Relay:
    """Runs the command once."""

    def __init__(
        self, command: child.Command, wiring: child.Wiring, inherited: Inherited, reporter: Reporter | None,
        patience: Patience, *, quiet: bool,
    ) -> None:  # fmt: skip
        self._command, self._wiring, self._inherited, self._quiet = command, wiring, inherited, quiet
        self._reporter = reporter
        if reporter is not None:
            reporter.heard, reporter.lost = self._heard, self._collector_lost
        self._taps = list(wiring.taps)
        stdin_open = wiring.input_fd is not None and 0 not in wiring.closed
        self._terminal = Terminal(0) if wiring.session and stdin_open and os.isatty(0) else None
        self._keys = Keys(wiring.master, self._terminal, open_=stdin_open)
        self._witness: Witness | None = None
        self._session: Session | None = None
        self._patience = patience
        self._pid = 0
        self._status: int | None = None
        self._usage: tuple[float, ...] = ()
        self._exec_errno: int | None = None
        self._error_fd: int | None = None
        self._abandoned = False
        self._output_failed = False
        self._interrupted = False
        self._interests = Interests()
        self._rss_at_fork = 0

    # ------------------------------------------------------------------ the run

    def run(self) -> NoReturn:
        """From the fork to our own exit, with the child's status."""
        try:
            self._start()
            self._loop()
        finally:
            if self._terminal is not None:
                self._terminal.restore()
        self._keys.give_back()
        code = self._exit_code()
        for tap in self._taps:
            if tap.open and not tap.pending:
                self._read(tap)  # end-of-file, unless somebody else has it open too
        if any(tap.open for tap in self._taps) and not self._abandoned:
            self._leave_copying()
        self._finish(code)
        if self._interrupted and self._stop.exit_code is None:
            die_of_interrupt()
        os._exit(code)

    def _start(self) -> None:
        death = child.DeathSignal()
        self._rss_at_fork = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._started = time.monotonic()
        self._stop = Stop(self._patience, self._signal_all)
        if self._wiring.session:
            front = self._terminal is None or self._terminal.foreground()
            modes = self._terminal.modes if self._terminal else None
            if self._terminal is not None and front:
                self._terminal.raw()
            link, self._error_fd = monitor.start(
                self._command, self._wiring, self._inherited, death, foreground=front, modes=modes
            )
            assert self._wiring.master is not None
            self._session = Session(link, self._terminal, self._wiring.master)
        else:
            self._witness = Witness()
            self._pid, self._error_fd = child.spawn(self._command, self._wiring, self._inherited, death)
            self._tell(frames.START, pid=self._pid)
        child.close_childs_ends(self._wiring)
        self._arrivals = Arrivals()
        self._interests.want(self._arrivals.fd, select.POLLIN)
        self._interests.want(self._error_fd, select.POLLIN)
        if self._session is not None:
            report_fd = self._session.link.report_fd
            self._interests.want(report_fd, select.POLLIN)
            while not self._pid and report_fd in self._interests:
                self._reported()  # `started` comes before `running` and before the first output
        if self._reporter is not None:
            self._interests.want(self._reporter.notes_fd, select.POLLIN)

    def _loop(self) -> None:
        while True:
            timeout = self._prepare()
            if timeout == _DONE:
                return
            due = self._stop.due_ms() if self._status is None else None
            events = self._interests.wait(due if timeout is None else timeout if due is None else min(timeout, due))
            if not events and self._status is not None:
                for tap in self._taps:
                    tap.left = 0
            for fd, event in events:
                self._serve(fd, event)
            if due is not None and (said := self._stop.check()):
                self._say(said)

    def _prepare(self) -> int | None:
        """Set up what to wait for; the time-out in ms, None for none, _DONE when all is done."""
        self._prepare_taps()
        if self._reporter is not None and self._reporter.alive:
            channel = self._reporter.channel
            self._interests.want(channel.write_fd, select.POLLOUT if channel.behind else 0)
        if self._status is not None:
            waiting = [t for t in self._taps if t.open and (t.pending or t.left > 0)]
            if self._abandoned or not waiting:
                return _DONE
            if any(t.pending for t in waiting):
                return None
            return _LATE_TTY_MS if any(t.is_pty for t in waiting) else 0
        return self._prepare_session(self._session) if self._session is not None else None

    def _prepare_session(self, session: Session) -> int | None:
        front = session.in_front
        if front:
            session.come_to_front()
        settling = self._keys.settling_s
        if self._keys.open and front and not self._keys.waiting and settling <= 0:
            self._interests.want(0, select.POLLIN)
        else:
            self._interests.forget(0)
        if settling > 0:
            return round(settling * 1000) + 1
        if self._keys.waiting and self._wiring.master is not None:
            self._interests.add(self._wiring.master, select.POLLOUT)
        return None if front else _FOREGROUND_MS

    def _prepare_taps(self) -> None:
        for tap in self._taps:
            if not tap.open:
                continue
            if tap.pending:  # not even asked for: a hang-up would be told again and again
                self._interests.forget(tap.read_fd)
            else:
                self._interests.want(tap.read_fd, select.POLLIN)
            if tap.pending:  # a file too takes only a part where its disk or its limit ends; the rest tells why
                self._interests.want(tap.writer.poll_fd, select.POLLOUT)
            elif tap.writer.is_anonymous_pipe:
                self._interests.want(tap.writer.poll_fd, 0)
            else:
                self._interests.forget(tap.writer.poll_fd)

    def _serve(self, fd: int, event: int) -> None:
        if fd not in self._interests:
            return
        reporter = self._reporter
        if fd == self._arrivals.fd:
            for arrival in self._arrivals.read():
                self._arrived(arrival)
        elif fd == self._error_fd:
            self._executed()
        elif self._session is not None and fd == self._session.link.report_fd:
            self._reported()
        elif reporter is not None and fd == reporter.notes_fd:
            reporter.listen()
        elif reporter is not None and fd == reporter.channel.write_fd:
            reporter.flush(event)
        elif fd == 0 and self._session is not None:
            self._keys.read()
        else:
            self._serve_tap(fd, event)

    def _serve_tap(self, fd: int, event: int) -> None:
        for tap in self._taps:
            if not tap.open:
                continue
            if fd == tap.writer.poll_fd and fd != tap.read_fd:
                if tap.pending:
                    self._write(tap, tap.pending)
                elif event & select.POLLERR:
                    self._shut(tap)  # nobody reads any more: the child is to know with its next write
                return
            if fd == tap.read_fd:
                if event & select.POLLOUT:
                    self._keys.write()
                if event & (select.POLLIN | BAD) and not tap.pending:
                    self._read(tap)
                return

    # ------------------------------------------------------------------ bytes

    def _read(self, tap: child.Tap) -> bool:
        try:
            data = os.read(tap.read_fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: a pseudo-terminal that nobody has open any more
            data = b""
        if not data:
            self._shut(tap)
            if tap.stream == "stdout":  # its reader is to see the end now, not when we end
                tap.writer.close()
                let_go(tap.writer.fd)
            return False
        tap.left -= len(data)
        behind = tap.read_fd == self._wiring.master and self._terminal is not None and not self._terminal.is_raw
        # in the background the user's terminal is not raw, and adds the CR itself
        self._write(tap, memoryview(data.replace(b"\r\n", b"\n") if behind else data))
        if self._reporter is not None:
            self._reporter.data(tap.stream, data)
        return True

    def _write(self, tap: child.Tap, data: memoryview) -> None:
        try:
            done = tap.writer.write(data)
        except BrokenPipeError:
            self._shut(tap)
        except OSError as error:
            self._shut(tap)
            self._output_failed = True
            self._say(f"{tap.stream}: {error.strerror}; the command can no longer write to it")
        else:
            tap.pending = data[done:]

    def _shut(self, tap: child.Tap) -> None:
        """Close our end: the child gets SIGPIPE or EPIPE with its next write, as it would bare."""
        tap.open = False
        tap.pending = memoryview(b"")
        self._interests.forget(tap.read_fd)
        self._interests.forget(tap.writer.poll_fd)
        os.close(tap.read_fd)
        if tap.read_fd == self._wiring.master:
            self._wiring.master = None
            self._keys.hang_up()
            self._interests.forget(0)

    # ------------------------------------------------------------------ signals

    def _arrived(self, arrival: Arrival) -> None:
        number = arrival.number
        if number == signal.SIGCHLD:
            self._reap()
            return
        if arrival.sender == os.getpid() or (arrival.from_kernel and number in _OURS_ALONE):
            return
        if number == signal.SIGWINCH and self._resize(arrival):
            return
        if self._session is None and self._witness is not None and self._witness.saw(number):
            return
        if self._status is not None:  # what is left of the output is not worth a process that cannot be ended
            self._abandoned = True
        elif self._session is not None:
            self._session.forward(arrival)
        else:
            self._kill(self._pid, number)

    def _kill(self, pid: int, number: int) -> None:
        with contextlib.suppress(OSError):
            os.kill(pid, number)

    def _signal_all(self, number: int) -> None:
        if self._status is not None:
            return
        if self._session is not None:
            self._session.link.signal(number, group=True)
            return
        for pid in family(self._pid):
            self._kill(pid, number)

    def _resize(self, arrival: Arrival) -> bool:
        """Pass the window's size on; whether that is all there is to do for this SIGWINCH."""
        if self._session is not None:
            self._session.resize()
            return arrival.from_kernel
        changed = False
        for tap in self._taps:
            size = get_size(tap.writer.fd) if tap.is_pty and tap.open else None
            if size is not None and size != get_size(tap.read_fd):
                set_size(tap.read_fd, size)
                changed = True
        if changed and self._status is None:  # the child has had its signal, maybe before the size was right
            if self._witness is not None:
                self._witness.saw(arrival.number)
            self._kill(self._pid, arrival.number)
        return changed

    # ------------------------------------------------------------------ the child's fate

    def _executed(self) -> None:
        assert self._error_fd is not None
        told = os.read(self._error_fd, 32)
        self._interests.forget(self._error_fd)
        os.close(self._error_fd)
        self._error_fd = None
        if told:
            self._exec_errno = int(told)
        else:
            self._tell(frames.EXEC)

    def _reap(self) -> None:
        for pid, status, usage in changed_children():
            if self._session is None and pid == self._pid:
                if os.WIFSTOPPED(status):
                    self._child_stopped(os.WSTOPSIG(status))
                else:
                    self._ended(status, usage)
            elif self._session is not None and pid == self._session.link.pid and not os.WIFSTOPPED(status):
                self._reported()
                if self._status is None:  # the monitor was killed: its session is hung up
                    self._ended(signal.SIGHUP, ())

    def _reported(self) -> None:
        if self._session is None or self._session.link.report_fd not in self._interests:
            return
        reports = self._session.link.reports()
        if reports is None:
            self._interests.forget(self._session.link.report_fd)
            return
        for report in reports:
            if "pid" in report:
                self._pid = report["pid"]
                self._tell(frames.START, pid=self._pid)
            elif "stopped" in report:
                self._child_stopped(report["stopped"])
            else:
                self._ended(report["status"], report["usage"])

    def _child_stopped(self, number: int) -> None:
        while any(self._read(tap) for tap in self._taps if tap.open and not tap.pending):
            pass
        if self._session is not None:
            self._session.child_stopped(number)
        else:
            stop_ourselves(number)

    def _ended(self, status: int, usage: tuple[float, ...]) -> None:
        self._status, self._usage = status, usage
        self._ended_at = time.monotonic()
        self._keys.close()
        self._interests.forget(0)
        for tap in self._taps:
            tap.left = _waiting_bytes(tap) if tap.open else 0
        died_of = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self._interrupted = died_of == signal.SIGINT and self._terminal is not None

    def _exit_code(self) -> int:
        assert self._status is not None
        if self._error_fd is not None:
            self._executed()
        if self._exec_errno is not None:
            line, code = child.failure(self._command.argv[0], self._exec_errno)
            self._say(line, always=True)
            return code
        if self._stop.exit_code is not None:
            return self._stop.exit_code
        code = os.waitstatus_to_exitcode(self._status)
        code = 128 - code if code < 0 else code
        return 1 if code == 0 and self._output_failed else code

    def _leave_copying(self) -> None:
        """A process that outlives the child holds its output open: pass that on from a process of its own, as the
        caller's pipe would stay open bare, and end now."""
        if os.fork():
            return
        self._inherited.restore()
        self._interests.forget_all()
        self._reporter = None
        standard = {0, 1, 2} - {tap.writer.fd for tap in self._taps if tap.open}
        for fd in standard:  # we hold open what is still written to, and nothing else
            let_go(fd)
        close_others({0, 1, 2}.union(*({tap.read_fd} | tap.writer.descriptors() for tap in self._taps if tap.open)))
        try:
            while taps := [tap for tap in self._taps if tap.open]:
                self._prepare_taps()
                for fd, event in self._interests.wait(None):
                    self._serve_tap(fd, event)
                for tap in taps:
                    if not tap.open:
                        tap.writer.close()
                        let_go(tap.writer.fd)
        finally:
            os._exit(0)

    # ------------------------------------------------------------------ the telemetry side

    def _tell(self, kind: int, **fields: object) -> None:
        if self._reporter is not None:
            self._reporter.tell(kind, **fields)

    def _heard(self, note: str) -> None:
        """A note of the collector's: a line for the user, or what it asks of us."""
        if note == STOP_NOTE:
            self._stop.ask(BUDGET_EXIT)
        elif note == KILL_NOTE:
            self._stop.ask(BUDGET_EXIT, kill=True)
        elif not note.startswith(END_NOTE):
            self._say(note)
        elif 2 not in self._wiring.closed and os.isatty(2):
            self._say(note.removeprefix(END_NOTE))

    def _collector_lost(self) -> None:
        assert self._reporter is not None
        self._interests.forget(self._reporter.channel.write_fd)
        self._interests.forget(self._reporter.notes_fd)
        goes_on = " (the command goes on)" if self._status is None else ""
        self._say(f"the collector ended; there is no more telemetry of this run{goes_on}")

    def _finish(self, code: int) -> None:
        if self._reporter is None:
            return
        assert self._status is not None
        died_of = os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else None
        usage = self._usage
        peak = int(usage[2]) if usage else 0
        self._reporter.finish(
            exit_code=code,
            signal=None if died_of is None else _name(died_of),
            duration_s=self._ended_at - self._started,
            cpu_time_s=usage[0] + usage[1] if usage else None,
            # until exec(2) the child is a copy of us: a peak no higher than ours says nothing about it
            max_rss_kb=peak if peak > self._rss_at_fork * 1.02 else None,
            reason=None if self._exec_errno is None else f"exec: {os.strerror(self._exec_errno)}",
        )

    def _say(self, text: str, *, always: bool = False) -> None:
        """A line of our own on stderr, if that can take it now."""
        if (self._quiet and not always) or 2 in self._wiring.closed:
            return
        end = b"\r\n" if self._terminal is not None and self._terminal.is_raw else b"\n"
        with contextlib.suppress(OSError):
            Writer(2).write(b"agentmon: " + text.encode("utf-8", "surrogateescape") + end)


def _waiting_bytes(tap: child.Tap) -> int:
    """What the child had written before it ended. Somebody else may go on writing: that is not waited for."""
    if tap.is_pty:  # part of it may still be on its way through the kernel
        return CHUNK
    return int.from_bytes(fcntl.ioctl(tap.read_fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _name(number: int) -> str:
    """A signal's POSIX name; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
