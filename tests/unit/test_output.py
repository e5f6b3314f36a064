"""Output that goes nowhere: a full disk, a closed descriptor. One line, and never a traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from report_logs import DEMO
from run_logs import Log

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["report", "report --json", "report --md", "report --html -", "history", "history --json", "tail",
            "tail --json", "top --once", "config show", "completion bash", "schema", "--help"]  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    log = Log(tmp_path / "agentmon" / "runs" / "one.ndjson")
    log.started()
    log.called()
    log.ended()
    log.release()
    return tmp_path


def ended(home: Path, words: str, redirected: str = "", **set_to: str) -> tuple[int, str]:
    """Its status, and what it said on stderr."""
    shell = f'exec "$0" -m agentmon {words} {redirected}'
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(home), **set_to}
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable], capture_output=True, timeout=60, cwd=home, env=env, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("words", COMMANDS)
def test_a_full_disk_is_one_line(home: Path, words: str) -> None:
    status, said = ended(home, words, "> /dev/full")
    assert (status, said.count("\n")) == (125, 1)
    assert re.match("agentmon: (stdout|output): No space left on device", said)


@pytest.mark.parametrize("words", COMMANDS)
def test_closed_descriptors_take_nothing(home: Path, words: str) -> None:
    status, said = ended(home, words, ">&-")
    assert (status, said.count("\n")) == (125, 1)
    assert re.match("agentmon: (stdout|output): Bad file descriptor", said)
    assert ended(home, words, "<&- >&- 2>&-") == (125, "")


def test_a_closed_stderr_breaks_no_export(home: Path) -> None:
    assert ended(home, f"export {DEMO} -o {home / 'tables'}", "2>&-")[0] == 0
    assert (home / "tables" / "runs.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("words", ["report", "report --md", "history", "tail", "top --once", "export -o tables"])
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_an_encoding_that_cannot_say_it_breaks_nothing(home: Path, words: str, encoding: str) -> None:
    log = Log(home / "agentmon" / "runs" / "two.ndjson", agent="机器人", team="équipe 😀")
    log.now += 99
    log.started()
    log.said("日志", "error")
    log.ended()
    log.release()
    assert ended(home, words, PYTHONIOENCODING=encoding) == (0, "")
