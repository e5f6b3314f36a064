"""`agentmon serve` of this checkout, in a process of its own, asked by bare HTTP: paths go out as they are written."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wrapper import ROOT, WAIT_S


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def lines(self) -> list[Any]:
        """Of NDJSON."""
        return [json.loads(line) for line in self.body.split(b"\n")[:-1]]


class RestServer:
    """Started when made; `state` is the state directory. words: more of the command line."""

    def __init__(self, state: Path, *words: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTMON_", "PYTHON"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agentmon", "serve", "--port", "0", *words],
            env={**env, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(state)}, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("http://127.0.0.1:"), line
        self.url = line.strip().rstrip("/")
        self.port = urlsplit(self.url).port
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)

    def ask(self, target: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """target: the path and query, as they go onto the wire."""
        try:
            self._connection.request(method, target, body, headers)
            reply = self._connection.getresponse()
        except ConnectionError:  # it was idle for so long that the server closed it
            self._connection.close()
            self._connection.request(method, target, body, headers)
            reply = self._connection.getresponse()
        told = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, told, reply.read())

    def get(self, target: str) -> Any:
        """The JSON of an answer that must be one."""
        answer = self.ask(target)
        assert (answer.status, answer.type) == (200, "application/json"), (target, answer)
        return answer.json

    def rss_mb(self) -> float:
        """Resident memory, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self.process.terminate()
        self.process.communicate(timeout=WAIT_S)
