"""`agentmon top` and `agentmon tail -f` in a real pseudo-terminal, with real runs and with logs in the making."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from run_logs import Log
from terminal import Terminal
from wrapper import WAIT_S, Wrapper, python, until

from agentmon.events import Lifecycle

WAITS = "import sys; print('hello from the child', flush=True); sys.stdin.readline(); sys.exit(3)"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31m[bold]漢字[/bold] \x9b31m \u202eabc"


class Seen:
    """A command in a terminal, and the screen as a person sees it."""

    def __init__(
        self, wrapper: Wrapper, *words: str, size: tuple[int, int] = (24, 80), before: tuple[str, ...] = ()
    ) -> None:
        argv = [*before, sys.executable, "-m", "agentmon", *words]
        self.terminal = Terminal(argv, {**wrapper.env, "LANG": "C.UTF-8"}, size)
        self._screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    def look(self) -> str:
        """What is on the screen now."""
        while select.select([self.terminal.fd], [], [], 0)[0]:
            try:
                data = os.read(self.terminal.fd, 65536)
            except OSError:
                break
            self.raw += data
            self._stream.feed(data)
        return "\n".join(self._screen.display)

    def shows(self, *texts: str, without: str = "\0") -> str:
        """Wait until all of this is on the screen at once; that very screen: the next look may find another."""
        screen = ""

        def there() -> bool:
            nonlocal screen
            screen = self.look()
            return all(text in screen for text in texts) and without not in screen

        try:
            until(there)
        except AssertionError:
            raise AssertionError(f"no {texts} in\n{screen}") from None
        return screen

    def press(self, keys: str) -> None:
        """Type."""
        self.terminal.send(keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Another size of the window."""
        self.look()
        self._screen.resize(rows, columns)
        self.terminal.resize(rows, columns)

    def ends(self) -> int:
        """The exit code; the terminal is as it was before."""
        code = self.terminal.wait()
        self.raw += self.terminal.seen
        assert self.terminal.modes() == self.terminal.modes_before
        if b"\x1b[?1049h" in self.raw:
            assert self.raw.rstrip().rfind(b"\x1b[?1049l") > self.raw.rfind(b"\x1b[?1049h")
            assert self.raw.rfind(b"\x1b[?25h") > self.raw.rfind(b"\x1b[?25l")
        return code


@pytest.fixture
def see(wrapper: Wrapper) -> Iterator[Callable[..., Seen]]:
    opened: list[Seen] = []

    def start(*words: str, **more: object) -> Seen:
        opened.append(Seen(wrapper, *words, **more))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for seen in opened:
        seen.terminal.close()


def log_of(wrapper: Wrapper, name: str, agent: str = "", team: str = "blue") -> Log:
    log = Log(wrapper.state / "agentmon" / "runs" / f"{name}.ndjson", agent=agent or name, team=team)
    log.now = time.time()  # a run in which nothing has happened for two minutes looks different
    log.started()
    return log


def test_a_run_appears_and_its_end_is_told(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    top = see("top")
    top.shows("no run is going on")
    run = wrapper.start(
        python(WAITS), "--agent", "worker", "--team", "red", "-q", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    top.shows("worker", "red", "● running", "hello from the child", "1 running")
    assert run.stdin is not None
    run.stdin.write(b"go\n")
    run.stdin.close()
    top.shows("✗ error 3", "0 running  1 error")
    top.press("q")
    assert top.ends() == 0


def test_keys_select_open_and_filter(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    logs = [log_of(wrapper, name) for name in ("alpha", "beta", "gamma")]
    logs[1].called()
    logs[1].committed()
    top = see("top")
    top.shows("┏━ alpha", "╭─ beta", "╭─ gamma", "$0.2500")
    top.press("j")
    top.shows("┏━ beta", "╭─ alpha")
    top.press("\r")
    top.shows(
        "command", "python crew.py", "claude-sonnet-4-5", "commit main abc1234 Add it", "Esc back", without="gamma"
    )
    top.press("\x1b")
    top.shows("┏━ beta", "gamma")
    top.press("/gam")
    top.shows("/gam", "╭─ gamma", without="beta")
    top.press("\x1b")
    top.shows("alpha", "beta", "gamma")
    top.press("\x1b[B")
    top.resize(50, 120)
    top.shows("┏━")
    top.resize(6, 20)
    top.shows("● alpha", without="╭")
    top.press("q")
    assert top.ends() == 0


def test_what_a_child_printed_never_reaches_the_terminal_as_it_is(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    log = log_of(wrapper, "evil", agent=f"evil{HOSTILE}", team=HOSTILE)
    log.committed(HOSTILE)
    log.said(HOSTILE)
    for words in (("top",), ("tail", "-f")):
        seen = see(*words)
        seen.shows("[bold]漢字[/bold]")
        seen.press("\r" if words == ("top",) else "")
        seen.shows("command" if words == ("top",) else "started")
        seen.terminal.send(b"\x03")
        assert seen.ends() == 130
        assert b"owned" not in seen.raw
        assert "\u202e".encode() not in seen.raw
        allowed = rb"\x1b\[(?:\d*(?:;\d+)*m|\d+;\d+H|2[JK]|\?(?:1049|25|7|2026)[hl])"
        assert not re.search(
            rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]", re.sub(allowed, b"", seen.raw).replace(b"^C", b"")
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(number: signal.Signals, wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    top = see("top")
    top.shows("no run is going on")
    os.kill(top.terminal.pid, number)
    assert top.ends() == 128 + number


def test_two_tops_and_a_writer(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    log = log_of(wrapper, "shared")
    tops = [see("top"), see("top", "shared")]
    for number in range(20):
        log.said(f"line {number}")
    for top in tops:
        top.shows("line 19", "● running")
    log.ended()
    log.release()
    for top in tops:
        top.shows("○ stopped")
        top.press("q")
        assert top.ends() == 0
    assert len(log.path.read_bytes().splitlines()) == 22


def test_a_run_whose_writer_is_gone_is_lost(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    log = log_of(wrapper, "gone")
    top = see("top")
    top.shows("● running")
    log.release()
    top.shows("? lost", "1 lost")
    top.press("q")
    assert top.ends() == 0


def test_no_color_is_respected(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    log_of(wrapper, "plain").said("bad", "error")
    top = see("top", before=("env", "NO_COLOR=1"))
    top.shows("plain", "bad")
    top.press("q")
    assert top.ends() == 0
    assert not re.search(rb"\x1b\[[1-9][0-9;]*m", top.raw)


def test_a_dumb_terminal_gets_one_frame(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    log_of(wrapper, "plain")
    top = see("top", before=("env", "TERM=dumb"))
    assert top.ends() == 0
    assert b"plain" in top.raw
    assert b"\x1b" not in top.raw


def once(wrapper: Wrapper, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agentmon", *words]
    return subprocess.run(argv, env=wrapper.env | env, capture_output=True, text=True, timeout=WAIT_S, check=False)


def test_once_prints_one_frame(wrapper: Wrapper, tmp_path: Path) -> None:
    assert "no run is going on" in once(wrapper, "top", "--once").stdout
    log = log_of(wrapper, "alpha")
    log.raw(b"broken\n")
    log.called()
    log_of(wrapper, "beta", team="red").write(Lifecycle("running"))
    result = once(wrapper, "top", "--once", COLUMNS="80", NO_COLOR="")
    assert result.returncode == 0
    assert "alpha" in result.stdout
    assert "beta" in result.stdout
    assert "\x1b" not in result.stdout
    assert f"{log.path}:2: not an event" in result.stderr
    only_red = once(wrapper, "top", "--once", "--team", "red").stdout
    assert "alpha" not in only_red
    assert "beta" in only_red
    assert once(wrapper, "top", "nothing").returncode == 125


def test_tail_follows_a_run_to_its_end(wrapper: Wrapper, see: Callable[..., Seen]) -> None:
    run = wrapper.start(python(WAITS), "--run-id", "r1", "-q", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until(lambda: wrapper.run_logs())
    tail = see("tail", "-f", "r1")
    tail.shows("hello from the child")
    assert run.stdin is not None
    run.stdin.write(b"go\n")
    run.stdin.close()
    assert tail.ends() == 0
    assert b"error with status 3" in tail.raw


def test_tail_ends_quietly_where_nobody_reads(wrapper: Wrapper) -> None:
    log = log_of(wrapper, "busy")
    for number in range(3000):
        log.said(f"line {number} " + "x" * 100)
    for words in (["tail"], ["tail", "-f"], ["tail", "--json"]):
        argv = [sys.executable, "-m", "agentmon", *words]
        process = subprocess.Popen(argv, env=wrapper.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(WAIT_S) in (0, 141)
        assert process.stderr.read() == b""
        process.stderr.close()


def test_tail_reads_a_pipe_as_it_comes(wrapper: Wrapper, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "agentmon", "tail", "-", "-f", "--json"]
    process = subprocess.Popen(argv, env=wrapper.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    log = Log(tmp_path / "x.ndjson")
    for text in ("one", "two"):
        line = log.said(text)
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.stdin.close()
    assert process.wait(WAIT_S) == 0
    process.stdout.close()
