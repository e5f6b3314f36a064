"""Loop: an event loop in a thread of its own, for those who wait and for those who look in now and then."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agentmon.fleet.outlet import Unreachable

T = TypeVar("T")
_LOOK_S = 0.2
_GRACE_S = 3.0


class Loop:
    """Runs coroutines. stopped: once it says so, what is waited for has 3 s left."""

    def __init__(self, name: str, stopped: Callable[[], bool] = lambda: False) -> None:
        self._stopped = stopped
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, or raises. Raises Unreachable where we were told to stop."""
        future = self.start(work)
        left = _GRACE_S
        while True:
            try:
                return future.result(_LOOK_S)
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise
                if self._stopped():
                    left -= _LOOK_S
                if left <= 0:
                    future.cancel()
                    raise Unreachable("told to stop") from None
            except concurrent.futures.CancelledError:
                raise Unreachable("the connection was lost") from None

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run it meanwhile."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End what still runs, and the thread."""

        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1) if tasks else None

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        if not self._loop.is_running():
            self._loop.close()
