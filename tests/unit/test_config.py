"""Configuration files: which count, what they may say."""

from pathlib import Path

import pytest

from agentmon import config
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
