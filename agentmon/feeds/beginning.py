"""Beginning: a feed whose first line comes alone, so that all that follows it can be told as change."""

from agentmon.feeds.feed import Feed

_SHORT_BYTES = 32 << 10  # what is longer has begun long ago


class Beginning:
    """A feed like the one it is made of. One that has much to tell at first is left as it is."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._begun = False
        self._held: list[bytes] = []

    @property
    def name(self) -> str:
        """As it was."""
        return self._feed.name

    @property
    def rest(self) -> bytes:
        """What is left of a line that has not ended."""
        return self._feed.rest

    def poll(self) -> list[bytes]:
        """The first line; what came with it; and then what comes."""
        if self._held:
            lines, self._held = self._held, []
            return lines
        lines = self._feed.poll()
        if lines and not self._begun:
            self._begun = True
            if sum(map(len, lines)) < _SHORT_BYTES:
                lines, self._held = lines[:1], lines[1:]
        return lines

    def over(self, closed: bool) -> bool:
        """Whether nothing more will come."""
        return not self._held and self._feed.over(closed)

    def close(self) -> None:
        """Let the feed go."""
        self._feed.close()
