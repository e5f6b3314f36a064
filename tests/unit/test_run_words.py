"""The words of `agentmon run`: names, intervals, labels, and bytes that are no text."""

import click
import pytest

from agentmon.commands.run import Interval, Label, name_of

NAMES = {
    ("claude", "-p", "x"): "claude",
    ("/usr/local/bin/codex",): "codex",
    ("python", "crew.py"): "crew.py",
    ("python3.12", "src/crew.py", "--fast"): "crew.py",
    ("python", "-m", "crew"): "crew",
    ("python", "-c", "print()"): "python",
    ("python",): "python",
    ("uv", "run", "crew.py"): "crew.py",
    ("uv", "run", "python", "crew.py"): "crew.py",
    ("npx", "agent"): "agent",
    ("bash", "run.sh"): "run.sh",
    ("sh", "-c", "x"): "sh",
    ("",): "",
}


@pytest.mark.parametrize("argv", NAMES)
def test_default_agent_name(argv: tuple[str, ...]) -> None:
    assert name_of(argv) == NAMES[argv]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2), ("2s", 2), ("500ms", 0.5), ("1m", 60), ("0.05", 0.05), ("1h", 3600), (" 3 ", 3), ("50ms", 0.05)],
)
def test_intervals(text: str, seconds: float) -> None:
    assert Interval().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "0", "0.049", "-1", "49ms", "nan", "inf", "1d", "1 2", "1e999"])
def test_bad_intervals(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Interval().convert(text, None, None)


def test_labels() -> None:
    assert Label().convert("a=b=c", None, None) == ("a", "b=c")
    for text in ("a", "=b", ""):
        with pytest.raises(click.BadParameter):
            Label().convert(text, None, None)
