"""From the words after -o to sinks, opened before anything is forked."""

import os
import re
import stat
from collections.abc import Iterable

from agentmon.errors import AgentmonError
from agentmon.sinks import Sink

_OWN = r"fd:([0-9]+)|(?:/dev|/proc/self)/fd/([0-9]+)"
_NAMED = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}


def descriptor_of(word: str) -> int | None:
    """Which of our own descriptors `word` means, if it means one. A path such as `/dev/fd/63`, which a shell puts in
    the place of `>(jq)`, leads somewhere else in the collector, or nowhere."""
    if "fd" in word and (match := re.fullmatch(_OWN, word)):
        return int(match[1] or match[2])
    return _NAMED.get(word)


def open_sinks(words: Iterable[str]) -> list[Sink]:
    """A sink for every word. Where one is refused, the others leave nothing behind. Raises AgentmonError."""
    sinks: list[Sink] = []
    try:
        for word in words:
            sinks.append(open_sink(word))
    except AgentmonError:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def open_sink(word: str) -> Sink:
    """The sink that `word` names: a path, `-`, fd:N, unix:PATH or unix-connect:PATH. Raises AgentmonError."""
    scheme, _, rest = word.partition(":")
    number = descriptor_of(word)
    if number is not None:
        from agentmon.sinks.pipe import open_fd

        return open_fd(number)
    if scheme == "fd":
        raise AgentmonError(f"{word}: not a descriptor; write fd:N, N a number")
    if scheme in ("unix", "unix-connect"):
        from agentmon.sinks.socket import ConnectSink, ListenSink

        if not rest:
            raise AgentmonError(f"{word}: a path is missing; write {scheme}:PATH")
        return ListenSink(rest) if scheme == "unix" else ConnectSink(rest)
    try:
        mode = os.stat(word).st_mode
    except OSError:
        mode = 0
    if stat.S_ISFIFO(mode):
        from agentmon.sinks.pipe import FifoSink

        if not os.access(word, os.W_OK):
            raise AgentmonError(f"{word}: not writable")
        return FifoSink(word)
    if stat.S_ISCHR(mode):
        from agentmon.sinks.pipe import FdSink

        try:
            return FdSink(os.open(word, os.O_WRONLY | os.O_NOCTTY), word)
        except OSError as error:
            raise AgentmonError(f"{word}: {error.strerror}") from None
    from agentmon.sinks.file import FileSink

    return FileSink(word)
