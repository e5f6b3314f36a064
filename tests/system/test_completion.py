"""TAB in real, interactive shells: what stands on the line after it."""

import os
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from run_logs import Log
from terminal import Terminal
from wrapper import Wrapper, needs, until

CLEAR = "\x15"  # Ctrl-U
LISTS = "\t\t"


class Shell:
    """An interactive shell that completes `agentmon`, with nobody's configuration."""

    def __init__(self, name: str, wrapper: Wrapper) -> None:
        program = needs(name)
        self.folder = wrapper.folder / "home"
        tools = wrapper.folder / "bin"
        for folder in (self.folder, tools):
            folder.mkdir(exist_ok=True)
        for tool, lines in (
            ("agentmon", f'export PYTHONPATH="{wrapper.env["PYTHONPATH"]}"\nexec "{sys.executable}" -m agentmon "$@"'),
            ("zebra-crew", "echo"),
        ):
            (tools / tool).write_text(f"#!/bin/sh\n{lines}\n")
            (tools / tool).chmod(0o755)
        env = {k: v for k, v in wrapper.env.items() if k not in ("PYTHONPATH", "ZDOTDIR", "ENV", "BASH_ENV")}
        env |= {
            "HOME": str(self.folder), "PATH": f"{tools}:{os.environ['PATH']}", "LANG": "C.UTF-8", "PS1": "READY> ",
            "XDG_CONFIG_HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder), "FISH_UNIT_TESTS_RUNNING": "1",
        }  # fmt: skip
        start = {
            "bash": [program, "--norc", "--noprofile", "-i"],
            "zsh": [program, "-f", "-i"],
            "fish": [program, "--no-config", "-i", "-C", "function fish_prompt; printf 'READY> '; end"],
        }[name]
        self._screen = pyte.Screen(100, 40)
        self._stream = pyte.ByteStream(self._screen)
        self.terminal = Terminal(start, env, (40, 100))
        self.shows("READY>")
        load = {
            "bash": 'eval "$(agentmon completion bash)"',
            "zsh": 'eval "$(agentmon completion zsh)"',
            "fish": "agentmon completion fish | source",
        }[name]
        self.press(f"cd {self.folder}; {load}; clear; echo loaded-$((1 + 1))\r" if name != "fish" else
                   f"cd {self.folder}; {load}; clear; echo loaded-(math 1 + 1)\r")  # fmt: skip
        self.shows("loaded-2")

    def press(self, keys: str) -> None:
        """Type."""
        self.terminal.send(keys.encode())

    def look(self) -> str:
        """The screen."""
        while select.select([self.terminal.fd], [], [], 0)[0]:
            try:
                self._stream.feed(os.read(self.terminal.fd, 65536))
            except OSError:
                break
        return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, *texts: str) -> str:
        """Wait until all of this is there at once, and give that very screen: the next look may find it redrawn."""
        screen = ""

        def seen() -> bool:
            nonlocal screen
            screen = self.look()
            return all(text in screen for text in texts)

        try:
            until(seen)
        except AssertionError:
            raise AssertionError(f"no {texts} in\n{screen}") from None
        return screen

    def line(self, typed: str, *becomes: str) -> str:
        """Type a beginning, TAB, and a #; wait for what is to be seen, and take the line back."""
        self.press(CLEAR + typed + "\t#")
        screen = self.shows(*becomes)
        self.press(CLEAR)
        return screen


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest, wrapper: Wrapper) -> Iterator[Callable[[], Shell]]:
    opened: list[Shell] = []

    def start() -> Shell:
        opened.append(Shell(request.param, wrapper))
        return opened[-1]

    start.kind = request.param  # type: ignore[attr-defined]
    yield start
    for one in opened:
        one.terminal.hang_up()


@pytest.fixture
def logs(wrapper: Wrapper) -> Path:
    """Two runs, one that ended and one that was lost."""
    folder = wrapper.state / "agentmon" / "runs"
    for name, agent, over in (("alpha-one", "planner", True), ("alpine-two", "reviewer", False)):
        log = Log(folder / f"{name}.ndjson", agent=agent)
        log.started()
        if over:
            log.ended()
        log.release()
    return folder


def test_words_of_ours(shell, logs):
    tty = shell()
    tty.line("agentmon rep", "READY> agentmon report #")
    tty.line("agentmon history --min", "agentmon history --min-cost #")
    tty.line("agentmon run --pty al", "agentmon run --pty always #")
    tty.line("agentmon run --pty=al", "agentmon run --pty=always #")
    tty.line("agentmon tail --event met", "agentmon tail --event metrics_update #")
    tty.line("agentmon history reb", "agentmon history rebuild #")
    tty.line("agentmon config sh", "agentmon config show #")


def test_run_ids(shell, logs):
    tty = shell()
    tty.line("agentmon report alpi", "agentmon report alpine-two")
    tty.line("agentmon tail -f --level error alpi", "--level error alpine-two")
    tty.line('agentmon report "alpi', 'report "alpine-two')
    tty.line("cd . && agentmon export alpha-one alp", "alpha-one alpine-two")
    tty.press(CLEAR + "agentmon report alp" + LISTS)
    described = () if shell.kind == "bash" else ("planner, 01-15", "stopped", "lost")
    tty.shows("alpha-one", "alpine-two", *described)


def test_paths(shell, logs):
    tty = shell()
    (tty.folder / "quite some.html").touch()
    (tty.folder / "tables").mkdir()
    (tty.folder / "tablecloth").touch()
    tty.line("agentmon report --html qui", "--html quite\\ some.html")
    tty.line("agentmon report --html quite\\ so", "--html quite\\ some.html")
    tty.line("agentmon export -o tabl", "agentmon export -o tables/#")
    tty.line("agentmon run -o unix:./tablec", "unix:./tablecloth")
    tty.line("agentmon report ./tablec", "report ./tablecloth")
    tty.line("agentmon report --html=tablec", "--html=tablecloth")


def test_the_command_behind_run(shell, logs):
    tty = shell()
    (tty.folder / "crew.py").touch()
    tty.line("agentmon run -- zebra-c", "agentmon run -- zebra-crew #")
    tty.line("agentmon run -q --team=web zebra-c", "--team=web zebra-crew #")
    tty.line("agentmon run --label a=b -- zebra-crew --file cre", "zebra-crew --file crew.py #")
    if shell.kind != "bash":  # whether bash knows options of others depends on what is installed
        tty.line("agentmon run -- agentmon rep", "run -- agentmon report #")


def test_bash_knows_the_options_of_others_where_it_completes_them(wrapper, logs):
    tty = Shell("bash", wrapper)
    script = Path("/usr/share/bash-completion/bash_completion")
    try:
        if not script.exists():
            pytest.skip("bash-completion is not installed")
        tty.press(f". {script}; clear; echo have-$((1 + 1))\r")
        tty.shows("have-2")
        tty.line("agentmon run -q --label a=b -- agentmon hist", "--label a=b -- agentmon history #")
        tty.line("agentmon run --team=web agentmon run -- zebra-c", "run -- zebra-crew #")
        tty.line("agentmon run -- env --ignore-e", "env --ignore-environment #")
    finally:
        tty.terminal.hang_up()


def test_nothing_is_said_of_what_is_wrong(shell, logs):
    tty = shell()
    (tty.folder / "agentmon.toml").write_text("[run\n")
    (logs / "alpha-bad.ndjson").write_bytes(b"\xff\x00 nonsense")
    (logs.parent / "history.sqlite3").write_bytes(b"no database" * 100)
    tty.line("agentmon run --te", "agentmon run --team #")
    tty.line("agentmon report alpha-b", "agentmon report alpha-bad")
    tty.press(CLEAR + "agentmon history --team \t")
    tty.press("x\t" + CLEAR + "echo still-$(agentmon --version | cut -c1-8)\r" if shell.kind != "fish" else
              "x\t" + CLEAR + "echo still-(agentmon --version | cut -c1-8)\r")  # fmt: skip
    screen = tty.shows("still-agentmon")
    assert "Traceback" not in screen
    assert "agentmon:" not in screen
