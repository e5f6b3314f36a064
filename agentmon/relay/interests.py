"""Interests: what one poll(2) waits for."""

import select

BAD = select.POLLERR | select.POLLHUP | select.POLLNVAL
LONGEST_MS = 2**31 - 1  # poll(2) takes an int: who waits for longer is woken in between


class Interests:
    """Descriptors and events; the kernel's view changes only where ours does."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._masks: dict[int, int] = {}

    def want(self, fd: int, mask: int) -> None:
        """Wait for these events of `fd` from now on (0: only for errors and hang-ups)."""
        if self._masks.get(fd) != mask:
            self._masks[fd] = mask
            self._poll.register(fd, mask)

    def add(self, fd: int, mask: int) -> None:
        """Wait for these events as well."""
        self.want(fd, self._masks.get(fd, 0) | mask)

    def forget(self, fd: int) -> None:
        """Wait for nothing of `fd`."""
        if self._masks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def forget_all(self) -> None:
        """Wait for nothing."""
        for fd in tuple(self._masks):
            self.forget(fd)

    def __contains__(self, fd: int) -> bool:
        return fd in self._masks

    def wait(self, timeout_ms: int | None) -> list[tuple[int, int]]:
        """What is ready."""
        return self._poll.poll(None if timeout_ms is None else min(timeout_ms, LONGEST_MS))
