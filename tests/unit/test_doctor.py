"""doctor: one line for each thing, and what to do about it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agentmon.commands import doctor


def said(home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    result = CliRunner().invoke(doctor.command)
    return result.exit_code, result.output.splitlines()


def test_each_line_says_how_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, lines = said(tmp_path, monkeypatch)
    assert status == 0
    assert all(line.startswith(("ok    ", "note  ")) for line in lines)
    for what in ("agentmon ", "state directory ", "git", "price list", *(f"extra {name}:" for name in doctor.EXTRAS)):
        assert any(line[6:].startswith(what) for line in lines), what


def test_what_others_can_read_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "agentmon" / "runs"
    runs.mkdir(parents=True)
    runs.chmod(0o755)
    status, lines = said(tmp_path, monkeypatch)
    assert status == 1
    assert [line for line in lines if line.startswith("bad ")] == [
        f"bad   state directory {runs} has mode 755 -- others can read what your agents say: chmod 700 {runs}"
    ]


def test_an_extra_that_is_not_there_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "more", (("no_such.module",), "much"))
    status, lines = said(tmp_path, monkeypatch)
    assert status == 0
    assert "note  extra more: no_such.module is missing -- for much: in a checkout, pip install '.[more]'" in lines
