"""A budget of CPU time for regexes that are not ours: CPython looks for signals while it matches."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OverBudget(Exception):
    """The time is used up."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise OverBudget in what runs here once it has used so much CPU time. No limit outside of the main thread.

    The timer is that of the process's user time, so that waiting for a busy machine does not count. Whatever handler,
    mask and timer there were are restored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def stop(signum: int, frame: FrameType | None) -> None:
        if armed:
            raise OverBudget

    handler = signal.signal(signal.SIGVTALRM, stop)
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGVTALRM})
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL if handler is None else handler)
