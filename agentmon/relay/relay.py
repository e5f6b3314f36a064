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
from agentmon.relay.channel import Channel
from agentmon.relay.signals import Arrival, Arrivals, Inherited, Witness, detached_fork
from agentmon.relay.terminal import Terminal, ending_keys, get_size, set_size

CHUNK = 64 * 1024
_LATE_TTY_MS = 30  # a pseudo-terminal passes bytes on through a kernel worker: wait this long for the last of them
_FOREGROUND_MS = 500
_SETTLE_S = 0.05
_DONE = -1
_RESUMED_S = 0.25
_OURS_ALONE = {signal.SIGPIPE, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD}
_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_BAD = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Collector:
    """What the relay has of the collector: the way to it, and its notes (lines of text, end-of-file)."""

    WAIT_S = 5.0
    IDLE_S = 0.25

    def __init__(self, channel: Channel, notes_fd: int) -> None:
        self.channel, self.notes_fd = channel, notes_fd
        self.alive = True
        os.set_blocking(notes_fd, False)

    def stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP)."""
        try:
            with open(f"/proc/{self.channel.counters.get('collector_pid')}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        except (OSError, IndexError):
            return False


class Relay:
    """Runs the command once."""

    def __init__(
        self, command: child.Command, wiring: child.Wiring, inherited: Inherited, collector: Collector | None, *, quiet: bool
    ) -> None:
        self._command, self._wiring, self._inherited, self._collector = command, wiring, inherited, collector
        self._quiet = quiet
        self._taps = list(wiring.taps)
        self._terminal = Terminal(0) if wiring.session and 0 not in wiring.closed and os.isatty(0) else None
        self._witness: Witness | None = None
        self._link: monitor.MonitorLink | None = None
        self._pid = 0
        self._status: int | None = None
        self._usage: tuple[float, ...] = ()
        self._exec_errno: int | None = None
        self._error_fd: int | None = None
        self._input = bytearray()
        self._settle_until = 0.0
        self._input_open = wiring.input_fd is not None and 0 not in wiring.closed
        self._abandoned = False
        self._output_failed = False
        self._forwarded_stop = False
        self._typed_interrupt = False
        self._resumed_at = 0.0
        self._poll = select.poll()
        self._interests: dict[int, int] = {}
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
        self._return_input()
        code = self._exit_code()
        for tap in self._taps:
            if tap.open and not tap.pending:
                self._read(tap)  # end-of-file, unless somebody else has it open too
        if any(tap.open for tap in self._taps) and not self._abandoned:
            self._leave_copying()
        self._finish(code)
        if self._typed_interrupt:
            self._die_of_interrupt()
        os._exit(code)

    def _start(self) -> None:
        death = child.DeathSignal()
        self._rss_at_fork = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._started = time.monotonic()
        if self._wiring.session:
            front = self._terminal is None or self._terminal.foreground()
            modes = self._terminal.modes if self._terminal else None
            if self._terminal is not None and front:
                self._terminal.raw()
            self._link, self._error_fd = monitor.start(
                self._command, self._wiring, self._inherited, death, foreground=front, modes=modes
            )
        else:
            self._witness = Witness()
            self._pid, self._error_fd = child.spawn(self._command, self._wiring, self._inherited, death)
            self._tell(frames.START, pid=self._pid)
        child.close_childs_ends(self._wiring)
        self._arrivals = Arrivals()
        self._want(self._arrivals.fd, select.POLLIN)
        self._want(self._error_fd, select.POLLIN)
        if self._link is not None:
            self._want(self._link.report_fd, select.POLLIN)
            while not self._pid and self._link.report_fd in self._interests:
                self._reported()  # `started` comes before `running` and before the first output
        if self._collector is not None:
            self._want(self._collector.notes_fd, select.POLLIN)

    def _loop(self) -> None:
        while True:
            timeout = self._prepare()
            if timeout is not None and timeout < 0:
                return
            events = self._poll.poll(timeout)
            if not events and self._status is not None:
                for tap in self._taps:
                    tap.left = 0
            for fd, event in events:
                self._serve(fd, event)

    def _prepare(self) -> int | None:
        """Set up what to wait for; the time-out in ms, None for none, below 0 when all is done."""
        self._prepare_taps()
        if self._collector is not None and self._collector.alive:
            self._want(self._collector.channel.write_fd, select.POLLOUT if self._collector.channel.behind else 0)
        if self._status is not None:
            waiting = [t for t in self._taps if t.open and (t.pending or t.left > 0)]
            if self._abandoned or not waiting:
                return _DONE
            if any(t.pending for t in waiting):
                return None
            return _LATE_TTY_MS if any(t.is_pty for t in waiting) else 0
        if self._wiring.session:
            front = self._terminal is None or self._terminal.foreground()
            if self._terminal is not None and front:
                self._come_to_front()
            settle = self._settle_until - time.monotonic()
            if self._input_open and front and not self._input and settle <= 0:
                self._want(0, select.POLLIN)
            else:
                self._forget(0)
            if settle > 0:
                return round(settle * 1000) + 1
            if self._input and self._wiring.master is not None:
                self._want(self._wiring.master, self._interests.get(self._wiring.master, 0) | select.POLLOUT)
            if not front:
                return _FOREGROUND_MS
        return None

    def _prepare_taps(self) -> None:
        for tap in self._taps:
            if not tap.open:
                continue
            if tap.pending:  # not even asked for: a hang-up would be told again and again
                self._forget(tap.read_fd)
            else:
                self._want(tap.read_fd, select.POLLIN)
            if tap.writer.waits and (tap.pending or tap.writer.is_anonymous_pipe):
                self._want(tap.writer.poll_fd, select.POLLOUT if tap.pending else 0)
            elif tap.writer.waits:
                self._forget(tap.writer.poll_fd)

    def _serve(self, fd: int, event: int) -> None:
        if fd not in self._interests:
            return
        if fd == self._arrivals.fd:
            for arrival in self._arrivals.read():
                self._arrived(arrival)
            return
        if fd == self._error_fd:
            self._executed()
            return
        if self._link is not None and fd == self._link.report_fd:
            self._reported()
            return
        if self._collector is not None and fd == self._collector.notes_fd:
            self._noted()
            return
        if self._collector is not None and fd == self._collector.channel.write_fd:
            self._flush(event)
            return
        if fd == 0 and self._input_open and self._wiring.session:
            self._read_input()
            return
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
                if event & select.POLLOUT and self._input:
                    self._write_input()
                if event & (select.POLLIN | _BAD) and not tap.pending:
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
        now = time.time()
        tap.left -= len(data)
        behind = tap.read_fd == self._wiring.master and self._terminal is not None and not self._terminal.is_raw
        # in the background the user's terminal is not raw, and adds the CR itself
        self._write(tap, memoryview(data.replace(b"\r\n", b"\n") if behind else data))
        collector = self._collector
        if collector is not None and collector.alive:
            try:
                collector.channel.send(frames.DATA, now, data, frames.STREAMS.index(tap.stream))
            except OSError:
                self._lose_collector()
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
        self._forget(tap.read_fd)
        if tap.writer.waits:
            self._forget(tap.writer.poll_fd)
        os.close(tap.read_fd)
        if tap.read_fd == self._wiring.master:
            self._wiring.master = None
            self._close_input()

    def _read_input(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_input()
            if self._terminal is None and self._wiring.master is not None:
                data = b"\x04"  # the end of piped input is Ctrl-D for a terminal
        self._input += data
        self._write_input()

    def _write_input(self) -> None:
        """Pass input on. A key that may end the child goes alone: what follows it may be meant for the shell."""
        if self._wiring.master is None or time.monotonic() < self._settle_until:
            return
        size = len(self._input)
        keys = ending_keys(self._wiring.master) if self._terminal is not None else b""
        first = min((at for at in map(self._input.find, keys) if at >= 0), default=size)
        try:
            done = os.write(self._wiring.master, self._input[: first + 1])
        except BlockingIOError:
            return
        except OSError:
            done = size
        if done > first:
            self._settle_until = time.monotonic() + _SETTLE_S
        del self._input[:done]

    def _return_input(self) -> None:
        """Give the terminal back what the child did not get, where the kernel allows that (TIOCSTI)."""
        with contextlib.suppress(OSError):
            for byte in self._input if self._terminal is not None else b"":
                fcntl.ioctl(0, termios.TIOCSTI, bytes([byte]))

    def _close_input(self) -> None:
        self._input_open = False
        if self._wiring.session:
            self._forget(0)

    # ------------------------------------------------------------------ signals and job control

    def _arrived(self, arrival: Arrival) -> None:
        number = arrival.number
        if number == signal.SIGCHLD:
            self._reap()
        elif arrival.sender == os.getpid() or (arrival.from_kernel and number in _OURS_ALONE) or (number == signal.SIGWINCH and self._resize(arrival)):
            return
        elif self._link is not None:
            self._forward_to_session(self._link, arrival)
        elif not (self._witness is not None and self._witness.saw(number)):
            self._kill(number)

    def _forward_to_session(self, link: monitor.MonitorLink, arrival: Arrival) -> None:
        number = arrival.number
        if number == signal.SIGCONT:
            if time.monotonic() - self._resumed_at > _RESUMED_S:
                link.signal(number, group=arrival.from_kernel, foreground=self._terminal is None or self._terminal.foreground())
            return
        if number in _STOPS:
            self._forwarded_stop = True
        if self._status is not None:
            self._abandoned = True
        link.signal(number, group=arrival.from_kernel)

    def _kill(self, number: int) -> None:
        if self._status is not None:  # what is left of the output is not worth a process that cannot be ended
            self._abandoned = True
            return
        with contextlib.suppress(OSError):
            os.kill(self._pid, number)

    def _resize(self, arrival: Arrival) -> bool:
        """Pass the window's size on; whether that is all there is to do for this SIGWINCH."""
        if self._wiring.session:
            size = get_size(0)
            if size is not None and self._wiring.master is not None:
                set_size(self._wiring.master, size)  # the kernel signals the session's foreground group
            return arrival.from_kernel
        changed = False
        for tap in self._taps:
            size = get_size(tap.writer.fd) if tap.is_pty and tap.open else None
            if size is not None and size != get_size(tap.read_fd):
                set_size(tap.read_fd, size)
                changed = True
        if changed:  # the child has had its signal, maybe before the size was right
            if self._witness is not None:
                self._witness.saw(arrival.number)
            self._kill(arrival.number)
        return changed

    def _come_to_front(self) -> None:
        """Our job was brought to the foreground (`fg`): the terminal is ours to relay."""
        assert self._terminal is not None
        if not self._terminal.is_raw:
            self._terminal.raw()
            if self._link is not None:
                self._link.signal(0, group=True, foreground=True)

    def _child_stopped(self, number: int) -> None:
        while any(self._read(tap) for tap in self._taps if tap.open and not tap.pending):
            pass
        if self._link is None:
            self._stop_ourselves(number)
            return
        front = self._terminal is not None and self._terminal.foreground()
        if number in (signal.SIGTTIN, signal.SIGTTOU) and front:
            self._link.signal(signal.SIGCONT, group=True, foreground=True)
            return
        if self._terminal is not None:
            self._terminal.restore()
        with contextlib.suppress(OSError):
            os.kill(self._link.pid, signal.SIGSTOP)
        # a key stops the whole job: a script around us, for one
        self._stop_ourselves(number, job=not self._forwarded_stop)
        self._forwarded_stop = False
        with contextlib.suppress(OSError):
            os.kill(self._link.pid, signal.SIGCONT)
        self._resumed_at = time.monotonic()
        front = self._terminal is None or self._terminal.foreground()
        if self._terminal is not None and front:
            self._terminal.raw()
            size = get_size(0)
            if size is not None and self._wiring.master is not None:
                set_size(self._wiring.master, size)
        self._link.signal(signal.SIGCONT, group=True, foreground=front)

    def _stop_ourselves(self, number: int, *, job: bool = False) -> None:
        """Stop as the child did, so that the shell says the same of us; returns when we are continued.

        In an orphaned process group the kernel discards the stop, and we return at once.
        """
        if number not in _STOPS:
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        if job:
            os.killpg(os.getpgrp(), number)
        else:
            signal.pthread_kill(_thread_id(), number)
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})

    # ------------------------------------------------------------------ the child's fate

    def _executed(self) -> None:
        assert self._error_fd is not None
        told = os.read(self._error_fd, 32)
        self._forget(self._error_fd)
        os.close(self._error_fd)
        self._error_fd = None
        if told:
            self._exec_errno = int(told)
        else:
            self._tell(frames.EXEC)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._pid and self._link is None:
                if os.WIFSTOPPED(status):
                    self._child_stopped(os.WSTOPSIG(status))
                else:
                    self._ended(status, tuple(usage))
            elif self._link is not None and pid == self._link.pid and not os.WIFSTOPPED(status):
                self._reported()
                if self._status is None:  # the monitor was killed: its session is hung up
                    self._ended(signal.SIGHUP, ())

    def _reported(self) -> None:
        if self._link is None or self._link.report_fd not in self._interests:
            return
        reports = self._link.reports()
        if reports is None:
            self._forget(self._link.report_fd)
            return
        for report in reports:
            if "pid" in report:
                self._pid = report["pid"]
                self._tell(frames.START, pid=self._pid)
            elif "stopped" in report:
                self._child_stopped(report["stopped"])
            else:
                self._ended(report["status"], report["usage"])

    def _ended(self, status: int, usage: tuple[float, ...]) -> None:
        self._status, self._usage = status, usage
        self._ended_at = time.monotonic()
        self._close_input()
        for tap in self._taps:
            tap.left = _waiting_bytes(tap) if tap.open else 0
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT and self._wiring.session:
            self._typed_interrupt = self._terminal is not None

    def _exit_code(self) -> int:
        assert self._status is not None
        if self._error_fd is not None:
            self._executed()
        if self._exec_errno is not None:
            line, code = child.failure(self._command.argv[0], self._exec_errno)
            self._say(line, always=True)
            return code
        code = os.waitstatus_to_exitcode(self._status)
        code = 128 - code if code < 0 else code
        return 1 if code == 0 and self._output_failed else code

    def _leave_copying(self) -> None:
        """A process that outlives the child holds its output open: pass that on from a process of its own, as the
        caller's pipe would stay open bare, and end now."""
        if os.fork():
            return
        self._inherited.restore()
        for fd in tuple(self._interests):
            self._forget(fd)
        self._collector = None
        standard = {0, 1, 2} - {tap.writer.fd for tap in self._taps if tap.open}
        for fd in standard:  # we hold open what is still written to, and nothing else
            let_go(fd)
        close_others({0, 1, 2}.union(*({tap.read_fd} | tap.writer.descriptors() for tap in self._taps if tap.open)))
        try:
            while taps := [tap for tap in self._taps if tap.open]:
                self._prepare_taps()
                for fd, event in self._poll.poll():
                    for tap in taps:
                        if tap.open and fd == tap.read_fd and not tap.pending:
                            self._read(tap)
                        elif tap.open and fd == tap.writer.poll_fd:
                            if tap.pending:
                                self._write(tap, tap.pending)
                            elif event & select.POLLERR:
                                self._shut(tap)
                for tap in taps:
                    if not tap.open:
                        tap.writer.close()
                        let_go(tap.writer.fd)
        finally:
            os._exit(0)

    def _die_of_interrupt(self) -> None:
        """Ctrl-C ended the child: end in the same way, together with what else runs in our job, so that a script
        around us ends as it would bare."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.killpg(os.getpgrp(), signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.pthread_kill(_thread_id(), signal.SIGINT)

    # ------------------------------------------------------------------ the telemetry side

    def _tell(self, kind: int, **fields: object) -> None:
        if self._collector is None or not self._collector.alive:
            return
        try:
            self._collector.channel.tell(kind, time.time(), **fields)
        except OSError:
            self._lose_collector()

    def _flush(self, event: int) -> None:
        assert self._collector is not None
        try:
            if event & _BAD:
                raise BrokenPipeError
            self._collector.channel.flush()
        except OSError:
            self._lose_collector()

    def _noted(self) -> None:
        collector = self._collector
        assert collector is not None
        try:
            text = os.read(collector.notes_fd, CHUNK)
        except BlockingIOError:
            return
        for line in text.decode("utf-8", "replace").splitlines():
            self._say(line)
        if not text:
            self._forget(collector.notes_fd)
            self._lose_collector()

    def _lose_collector(self) -> None:
        collector = self._collector
        if collector is None or not collector.alive:
            return
        collector.alive = False
        self._forget(collector.channel.write_fd)
        self._forget(collector.notes_fd)
        self._say("the collector ended; there is no more telemetry of this run (the command goes on)")

    def _finish(self, code: int) -> None:
        """Tell the collector how it ended, and wait for what it still has to write."""
        collector = self._collector
        if collector is None or not collector.alive:
            return
        assert self._status is not None
        killed = os.WIFSIGNALED(self._status)
        usage = self._usage
        peak = int(usage[2]) if usage else 0
        self._tell(
            frames.EXIT,
            exit_code=code,
            signal=signal.Signals(os.WTERMSIG(self._status)).name if killed and _named(self._status) else None,
            duration_s=self._ended_at - self._started,
            cpu_time_s=usage[0] + usage[1] if usage else None,
            # until exec(2) the child is a copy of us: a peak no higher than ours says nothing about it
            max_rss_kb=peak if peak > self._rss_at_fork * 1.02 else None,
            reason=None if self._exec_errno is None else f"exec: {os.strerror(self._exec_errno)}",
        )
        counters = collector.channel.counters
        poll = select.poll()
        poll.register(collector.notes_fd, select.POLLIN)
        begun = moved = time.monotonic()
        progress = -1
        open_channel = True
        while collector.alive:
            try:
                collector.channel.flush()
            except OSError:
                break
            if open_channel and not collector.channel.behind:
                with contextlib.suppress(KeyError):
                    poll.unregister(collector.channel.write_fd)
                os.close(collector.channel.write_fd)
                open_channel = False
            elif open_channel:
                poll.register(collector.channel.write_fd, select.POLLOUT)
            if poll.poll(50):
                try:
                    text = os.read(collector.notes_fd, CHUNK)
                except BlockingIOError:
                    text = b"\n"
                if not text:
                    return
                for line in text.decode("utf-8", "replace").splitlines():
                    self._say(line) if line else None
            now = time.monotonic()
            if counters.get("progress") != progress:
                progress, moved = counters.get("progress"), now
            if now - begun > collector.WAIT_S or (counters.get("phase") and now - moved > collector.IDLE_S):
                break
            if now - moved > collector.IDLE_S and collector.stopped():
                self._say("the collector is stopped; it completes the telemetry of this run when it is continued")
                break
        if open_channel and collector.channel.behind and detached_fork({collector.channel.write_fd}):
            # what is in our memory has to reach it, and we do not wait
            try:
                os.setsid()
                os.set_blocking(collector.channel.write_fd, True)
                collector.channel.flush()
            finally:
                os._exit(0)

    # ------------------------------------------------------------------ small things

    def _say(self, text: str, *, always: bool = False) -> None:
        """A line of our own on stderr, if that can take it now."""
        if (self._quiet and not always) or 2 in self._wiring.closed:
            return
        end = b"\r\n" if self._terminal is not None and self._terminal.is_raw else b"\n"
        with contextlib.suppress(OSError):
            Writer(2).write(b"agentmon: " + text.encode("utf-8", "surrogateescape") + end)

    def _want(self, fd: int, mask: int) -> None:
        if self._interests.get(fd) != mask:
            self._interests[fd] = mask
            self._poll.register(fd, mask)

    def _forget(self, fd: int) -> None:
        if self._interests.pop(fd, None) is not None:
            self._poll.unregister(fd)


def _waiting_bytes(tap: child.Tap) -> int:
    """What the child had written before it ended. Somebody else may go on writing: that is not waited for."""
    if tap.is_pty:  # part of it may still be on its way through the kernel
        return CHUNK
    return int.from_bytes(fcntl.ioctl(tap.read_fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _named(status: int) -> bool:
    return os.WTERMSIG(status) in {int(s) for s in signal.Signals}


def _thread_id() -> int:
    import _thread

    return _thread.get_ident()


