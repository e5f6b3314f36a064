"""Shipping: what the spool has goes through an outlet, each event once; the cursor follows the acknowledgements."""

import contextlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from agentmon.errors import AgentmonError
from agentmon.fleet.cursor import Cursor
from agentmon.fleet.outlet import Mark, Outlet, Unreachable
from agentmon.fleet.spool import Batch, Spool

Say = Callable[[str], None]
Wait = Callable[[float], None]

_POLL_S = 0.1
_SAVE_S = 1.0  # the cursor on disk is behind by so much, at most
_SAVE_SHARE = 0.05  # of the time, at most, goes into saving it
_CALM_S = 2.0  # after so long without anything new, what is on disk is all there is to know
_SETTLED_S = 3.0  # a line without an end may get it
_MANY = 1000
_RETRY_S = 0.1
_RETRY_MOST_S = 5.0
_SAY_AGAIN_S = 600.0


class Shipper:
    """Ships until it is told to stop, or until all that was there is shipped.

    wait: sleeps for so many seconds, shorter where something happens. stopped: whether we were told to stop.
    progress: is told how many bytes were shipped, of how many.
    """

    def __init__(
        self, outlet: Outlet, spool: Spool, cursor: Cursor, say: Say, wait: Wait, stopped: Callable[[], bool],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:  # fmt: skip
        self._outlet, self._spool, self._cursor = outlet, spool, cursor
        self._say, self._wait, self._stopped, self._progress = say, wait, stopped, progress
        self._joined = False
        self._sure = False  # whether all that was ever sent is known to have arrived, or is known not to have
        self._sender = ThreadPoolExecutor(1)
        self._ahead: Batch | None = None
        self._save_after = 0.0
        self._moved_at = time.monotonic()
        self._trouble = ""
        self._trouble_said = 0.0
        self._retry = _RETRY_S

    def ship(self, follow: bool, patience: float) -> None:
        """follow: go on with what comes. patience: seconds without any progress that are too many, where we do not
        follow. Raises AgentmonError then."""
        total = self._spool.waiting_bytes
        goal = None if follow else self._spool.sizes()
        while not self._stopped():
            try:
                moved = self._step()
            except Unreachable as error:
                self._fail(error, follow, patience)
                continue
            self._well()
            if goal is not None:
                self._progress(total - min(total, self._spool.left_of(goal)), total)
                if not moved and (not self._spool.left_of(goal) or time.monotonic() - self._moved_at > _SETTLED_S):
                    break
            if not moved:
                self._wait(_POLL_S)
        if self._sure and self._joined:
            with contextlib.suppress(Unreachable):
                mark = None if self._spool.passing else self._outlet.mark()
                self._save(self._spool.passing, mark)

    def _step(self) -> bool:
        """One batch; whether there was one. Raises Unreachable."""
        if not self._joined:
            self._outlet.resume(self._cursor.mark)
            mark = self._outlet.mark()
            self._cursor.join(mark)
            self._spool.restart()
            self._must_save(self._cursor.doubt, None if self._cursor.doubt else mark)
            self._joined = True
        if not self._sure:
            self._clear_doubt()
        batch, self._ahead = self._ahead or self._spool.next(), None
        now = time.monotonic()
        if batch is None:
            self._outlet.idle()
            if self._cursor.doubt and now - self._moved_at >= _CALM_S and not self._spool.passing:
                self._save(doubt=False, mark=self._outlet.mark())
            return False
        if batch.records:
            if not self._cursor.doubt:  # on disk before anything is on its way
                self._must_save(True, self._outlet.mark())
            self._sure = False
            sending = self._sender.submit(self._outlet.send, batch.records)
            if len(batch.records) >= _MANY:  # read on while these are on their way
                self._ahead = self._spool.next()
            sending.result()
            self._sure = True
        self._spool.done(batch)
        self._moved_at = now
        if self._cursor.doubt and now >= self._save_after:
            self._save(doubt=True, mark=None if self._spool.passing else self._outlet.mark())
        return True

    def _clear_doubt(self) -> None:
        """Find out what arrived of what was perhaps sent: before a crash, or before a connection broke."""
        if self._cursor.doubt and (teams := self._spool.doubtful()):
            self._spool.arrived(self._outlet.arrived(self._cursor.mark, teams))
        self._sure = True

    def _must_save(self, doubt: bool, mark: Mark | None) -> None:
        try:
            self._write(doubt, mark)
        except OSError as error:
            raise Unreachable(f"{self._cursor.path}: {error.strerror}: without it nothing can be sent") from None

    def _save(self, doubt: bool, mark: Mark | None = None) -> None:
        try:
            self._write(doubt, mark)
        except OSError as error:  # what is on disk is older, and as true
            self._complain(f"{self._cursor.path}: {error.strerror}")

    def _write(self, doubt: bool, mark: Mark | None) -> None:
        began = time.monotonic()
        try:
            self._cursor.save(doubt, mark)
        finally:
            now = time.monotonic()
            self._save_after = now + max(_SAVE_S, (now - began) / _SAVE_SHARE)

    def _fail(self, error: Unreachable, follow: bool, patience: float) -> None:
        self._ahead = None
        self._spool.back()
        self._spool.look()
        self._spool.hold()
        if time.monotonic() >= self._save_after:
            self._save(self._cursor.doubt)
        if not self._stopped():
            self._complain(f"{error}; trying again")
        if not follow and time.monotonic() - self._moved_at > patience:
            raise AgentmonError(f"{error}; nothing is lost: run it again") from None
        self._wait(self._retry * random.uniform(0.5, 1.0))
        self._retry = min(_RETRY_MOST_S, self._retry * 2)

    def _complain(self, text: str) -> None:
        now = time.monotonic()
        if text != self._trouble or now - self._trouble_said > _SAY_AGAIN_S:
            self._trouble, self._trouble_said = text, now
            self._say(text)

    def _well(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._say(f"{self._outlet.name}: goes on")
        self._retry = _RETRY_S
