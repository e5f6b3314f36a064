"""The words of `agentmon run`: names, intervals, labels, and bytes that are no text."""

import click
import pytest

from agentmon.commands.run import name_of
from agentmon.commands.words import Amount, Count, Duration, Label, Size

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
    assert Duration(0.05).convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "0", "0.049", "-1", "49ms", "nan", "inf", "1w", "1 2", "1e999"])
def test_bad_intervals(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Duration(0.05).convert(text, None, None)


def test_labels() -> None:
    assert Label().convert("a=b=c", None, None) == ("a", "b=c")
    for text in ("a", "=b", ""):
        with pytest.raises(click.BadParameter):
            Label().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "mib"), [("512MB", 512), ("4GB", 4096), ("1.5g", 1536), ("2048k", 2), ("1TiB", 1 << 20)]
)
def test_size(text: str, mib: float) -> None:
    assert Size().convert(text, None, None) == mib


@pytest.mark.parametrize(
    ("text", "number"), [("150000", 150_000), ("150k", 150_000), ("2M", 2_000_000), ("1_000", 1000)]
)
def test_count(text: str, number: int) -> None:
    assert Count().convert(text, None, None) == number


@pytest.mark.parametrize(("text", "number"), [("5.00", 5), ("$5", 5), ("300%", 300)])
def test_amount(text: str, number: float) -> None:
    assert Amount().convert(text, None, None) == number


@pytest.mark.parametrize("kind", [Size(), Count(), Amount(), Duration()])
@pytest.mark.parametrize("text", ["", "x", "-1", "0", "0MB", "1e9", "5 apples", "١MB", "nan", "inf"])
def test_what_is_no_quantity(kind: click.ParamType, text: str) -> None:
    with pytest.raises(click.BadParameter):
        kind.convert(text, None, None)
