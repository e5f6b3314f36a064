"""Reporter: the relay's side of the collector. Nothing here waits, except at the very end, and then not for long."""

import contextlib
import os
import select
import time
from collections.abc import Callable

from agentmon.relay import channel as frames
from agentmon.relay.channel import Channel
from agentmon.relay.interests import BAD
from agentmon.relay.signals import detached_fork

_WAIT_S = 5.0
_IDLE_S = 0.25
_TURN_MS = 50
_LONGEST_TURN_S = 0.2
_CHUNK = 64 * 1024


class Reporter:
    """Tells the collector what happens, and hears its notes.

    folder: what the collector removes at its end, and we, if it has ended before its time. heard: called with each
    note. lost: called once when the collector has gone before its time.
    """

    def __init__(self, channel: Channel, notes_fd: int, folder: str | None = None) -> None:
        self.channel, self.notes_fd, self._folder = channel, notes_fd, folder
        self.alive = True
        self.heard: Callable[[str], None] = lambda _: None
        self.lost: Callable[[], None] = lambda: None
        os.set_blocking(notes_fd, False)

    def data(self, stream: str, data: bytes) -> None:
        """Bytes that the child wrote."""
        if self.alive:
            try:
                self.channel.send(frames.DATA, time.time(), data, frames.index(stream))
            except OSError:
                self._lose()

    def tell(self, kind: int, **fields: object) -> None:
        """Anything else."""
        if self.alive:
            try:
                self.channel.tell(kind, time.time(), **fields)
            except OSError:
                self._lose()

    def flush(self, event: int) -> None:
        """The way to the collector has room, or has broken (`event` of poll(2))."""
        try:
            if event & BAD:
                raise BrokenPipeError
            self.channel.flush()
        except OSError:
            self._lose()

    def listen(self) -> None:
        """Hear its notes; end-of-file is its end."""
        try:
            text = os.read(self.notes_fd, _CHUNK)
        except BlockingIOError:
            return
        for line in text.decode("utf-8", "replace").splitlines():
            self.heard(line)
        if not text:
            self._lose()

    def finish(self, **fields: object) -> None:
        """Tell how the child ended, and give the collector time to write what it has.

        Files and `-` get up to 5 s, everything else only as long as it makes progress.
        """
        self.tell(frames.EXIT, **fields)
        self._await_end()
        if self._folder is not None and not self.alive and not self.channel.counters.get("complete"):
            import shutil  # the collector would have removed it

            shutil.rmtree(self._folder, ignore_errors=True)

    def _await_end(self) -> None:
        counters = self.channel.counters
        progress = counters.get("progress")
        last = time.monotonic()
        waited = idle = 0.0
        poll = select.poll()
        poll.register(self.notes_fd, select.POLLIN)
        channel_open = True
        while self.alive:
            if channel_open:
                try:
                    self.channel.flush()
                except OSError:
                    self.listen()
                    self._lose()
                    return
                if self.channel.behind:
                    poll.register(self.channel.write_fd, select.POLLOUT)
                else:
                    with contextlib.suppress(KeyError):
                        poll.unregister(self.channel.write_fd)
                    os.close(self.channel.write_fd)
                    channel_open = False
            if poll.poll(_TURN_MS):
                self.listen()
            now = time.monotonic()
            step = min(now - last, _LONGEST_TURN_S)  # where the whole machine stood still, the collector did too
            last = now
            waited, idle = waited + step, idle + step
            if counters.get("progress") != progress:
                progress, idle = counters.get("progress"), 0.0
            if idle > _IDLE_S and self._stopped():
                self.heard("the collector is stopped; it completes the telemetry of this run when it is continued")
                break
            if waited > _WAIT_S or (counters.get("phase") and idle > _IDLE_S):
                break
        if self.alive and channel_open and self.channel.behind and detached_fork({self.channel.write_fd}):
            # what is in our memory has to reach it, and we do not wait
            try:
                os.setsid()
                os.set_blocking(self.channel.write_fd, True)
                self.channel.flush()
            finally:
                os._exit(0)

    def _stopped(self) -> bool:
        """Whether somebody has stopped the collector (SIGSTOP)."""
        try:
            with open(f"/proc/{self.channel.counters.get('collector_pid')}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
        except (OSError, IndexError):
            return False

    def _lose(self) -> None:
        if self.alive:
            self.alive = False
            if not self.channel.counters.get("complete"):
                self.lost()
