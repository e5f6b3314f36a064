"""Configuration files: which count, what they may say."""

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest

from agentmon import config
from agentmon.cli import main
from agentmon.commands.options import load, option_name
from agentmon.errors import AgentmonError

KNOWN = {"run": ["team", "budget", "on-alert", "max-memory"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project" / "below"
    project.mkdir(parents=True)
    (tmp_path / "config" / "agentmon").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(project)
    return tmp_path


def write(home: Path, text: str, *, user: bool = False) -> Path:
    path = home / ("config/agentmon" if user else "project") / "agentmon.toml"
    path.write_text(text)
    return path


def test_the_project_wins_over_the_user(home: Path) -> None:
    mine = write(home, "[run]\nteam = 'mine'\nbudget = 5\n", user=True)
    ours = write(home, "[run]\nteam = 'ours'\nmax_memory = '1GB'\n")
    assert config.files() == [(str(mine), False), (str(ours), True)]
    settings = config.load(KNOWN)["run"]
    assert {k: (s.value, s.path) for k, s in settings.items()} == {
        "team": ("ours", str(ours)), "budget": (5, str(mine)), "max-memory": ("1GB", str(ours)),
    }  # fmt: skip


def test_nothing_is_configured(home: Path) -> None:
    assert (config.files(), config.load(KNOWN)) == ([], {})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[run]\nteem = 1\n", "'teem' is no key of [run]; did you mean 'team'?"),
        ("[walk]\n", "'walk' is no table (known: run)"),
        ("run = 1\n", "expected a table"),
        ("[run\n", "not TOML"),
        ("[run]\non-alert = 'rm -rf x'\n", "only the user's own file may set this"),
    ],
)
def test_what_is_refused(home: Path, text: str, part: str) -> None:
    path = write(home, text)
    with pytest.raises(AgentmonError) as refused:
        config.load(KNOWN)
    assert str(path) in refused.value.message
    assert part in refused.value.message


def test_the_user_may_set_a_command(home: Path) -> None:
    write(home, "[run]\non-alert = 'notify'\n", user=True)
    assert config.load(KNOWN)["run"]["on-alert"].value == "notify"


def said(*words: str) -> tuple[int, str]:
    """Of the command line: its status, and what it printed and said."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = main([*words])
    return code, out.getvalue()


def shown(option: str) -> list[str]:
    """The value of an option of `run`, and where it comes from."""
    code, text = said("config", "show")
    assert code == 0, text
    return next(re.split(" {2,}", line)[1:] for line in text.splitlines() if line.startswith(f"{option} "))


@pytest.mark.parametrize("option", [p for p in load("run").params if isinstance(p, click.Option)], ids=option_name)
def test_every_option_has_the_variable_of_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, option: click.Option
) -> None:
    value = {"pty": "never", "on-budget": "warn", "label": "a=b", "run-id": "x"}.get(option_name(option))
    if value is None:
        value = "1" if option.is_flag else "1GB" if "memory" in option_name(option) else "7"
    name = f"AGENTMON_RUN_{option_name(option)}".upper().replace("-", "_")
    monkeypatch.setenv(name, value)
    assert shown(option_name(option)) == [value, f"the environment ({name})"]


def test_what_is_configured_is_shown_as_it_was_written(home: Path) -> None:
    path = write(home, "[run]\nmax-memory = '4GB'\nlabel = 'a=b'\nstall = 90\nno-logs = true\n")
    assert [shown(name)[0] for name in ("max-memory", "label", "stall", "no-logs", "grace")] == [
        "4GB", "a=b", "90", "yes", "10s",
    ]  # fmt: skip
    assert shown("label")[1] == str(path)


def test_a_value_that_is_refused_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(home, "[run]\nbudget = 'much'\n")
    code, text = said("config", "show")
    assert (code, text.splitlines()[-1].startswith(f"agentmon: {path}: Invalid value for '--budget'")) == (125, True)
    monkeypatch.setenv("AGENTMON_RUN_BUDGET", "more")
    assert "agentmon: AGENTMON_RUN_BUDGET: Invalid value for '--budget': 'more'" in said("config", "show")[1]
    assert said("history", "--by", "x")[1].startswith("agentmon: Invalid value for '--by'")
