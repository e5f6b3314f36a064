"""A real `agentmon serve`, a real run that does what it is told, and a real browser that looks at both."""

import importlib.util
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import Any

import pytest
from browser import chromium
from wrapper import WAIT_S, Wrapper, python, read_until

from tests.nats_server import free_port

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def needed() -> list[pytest.MarkDecorator]:
    """Marks that skip tests, and say why, where a browser or a package is missing."""
    packages = ("playwright", "fastapi", "uvicorn", "websockets")
    missing = ", ".join(name for name in packages if not importlib.util.find_spec(name))
    return [
        pytest.mark.skipif(chromium() is None, reason="there is no chromium on this machine (apt install chromium)"),
        pytest.mark.skipif(bool(missing), reason=f"not installed: {missing} (the extras serve and dev)"),
    ]


class Server:
    """`agentmon serve` with a state directory of its own; port: one of its own, also while it is down."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.wrapper = Wrapper(folder)
        self.options = options
        self.port = free_port()
        self.base = ""
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        argv = [sys.executable, "-m", "agentmon", "serve", "--port", str(self.port), *self.options]
        self.process = Popen(
            argv, env=self.wrapper.env, stdin=DEVNULL, stdout=PIPE, start_new_session=True, cwd=self.wrapper.folder
        )
        assert self.process.stdout is not None
        found = re.search(rb"http://\S+:\d+/\S*", read_until(self.process.stdout.fileno(), rb"http://\S+\n"))
        assert found is not None
        self.base = found[0].decode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S):
            pass

    def stop(self) -> None:
        """End it as a service manager would."""
        end(self.process)


class Child:
    """A run whose child does what it is told: lines of Python on its standard input."""

    def __init__(self, wrapper: Wrapper, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self.process = wrapper.start(
            python("import sys\nfor line in sys.stdin: exec(line)"), "--interval", "200ms", *options,
            stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, cwd=folder, env=wrapper.env | _IDENTITY,
        )  # fmt: skip

    def do(self, *lines: str) -> None:
        """Let it run lines of Python."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def say(self, *texts: str) -> None:
        """Let it print lines."""
        self.do(*(f"print({text!r}, flush=True)" for text in texts))

    def commit(self, message: str) -> None:
        """Let it commit with git, in a repository of its own."""
        self.do(
            "import subprocess as s",
            "s.run(['git', 'init', '-q', '-b', 'main', '.'], check=True)",
            f"s.run(['git', 'commit', '--allow-empty', '-m', {message!r}], check=True)",
        )

    def finish(self, code: int = 0) -> None:
        """Let it exit with this status."""
        self.do(f"sys.exit({code})")
        self.process.wait(WAIT_S)

    def close(self) -> None:
        """End it, if it has not ended."""
        end(self.process)


def end(process: "Popen[bytes]") -> None:
    """SIGTERM, and SIGKILL for what does not end of that."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(WAIT_S)
        except Exception:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@contextmanager
def launched(program: str) -> Iterator[Any]:
    """The browser of this machine, headless."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, timeout=WAIT_S * 1000)
        try:
            yield browser
        finally:
            browser.close()


class Seen:
    """What a page did beside what it shows: messages in the console, dialogs, requests."""

    def __init__(self, page: Any) -> None:
        self.logged: list[str] = []
        self.dialogs: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.logged.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.logged.append(f"exception: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda one: self.asked.append(one.url))
        page.on("dialog", self._dismiss)

    def _dismiss(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def accessible() -> str:
    """A function to run in a page: what is wrong with it for keyboard and screen reader."""
    return Path(__file__).with_name("accessible.js").read_text()
