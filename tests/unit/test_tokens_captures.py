"""Captures of real tools: what the run adds up to, and that chunking never matters."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmon.collect.parsers.tokens import Tokens
from agentmon.collect.pipeline import Pipeline
from agentmon.collect.plain import Plain
from agentmon.events import Finding, TokenUsage
from agentmon.usage import TOKENS, Ledger

DATA = Path(__file__).parents[1] / "data" / "tokens"
CAPTURES = sorted(folder.name for folder in DATA.iterdir())


def events(files: list[tuple[str, bytes]], size: int = 1 << 20, *, logs: bool = False) -> Iterator[Plain | Finding]:
    pipeline = Pipeline([Tokens()], logs=logs)
    for stream, data in files:
        for at in range(0, len(data), size):
            yield from pipeline.feed(stream, data[at : at + size], 0.0)  # type: ignore[arg-type]
    yield from pipeline.close(0.0)


def files(name: str) -> list[tuple[str, bytes]]:
    return [(s, path.read_bytes()) for s in ("stdout", "stderr", "tty") if (path := DATA / name / f"{s}.bin").exists()]


@pytest.mark.parametrize("name", CAPTURES)
def test_sums(name: str) -> None:
    expected: dict[str, Any] | None = json.loads((DATA / name / "expect.json").read_text())["tokens"]
    ledger = Ledger()
    for item in events(files(name)):
        if isinstance(item, Finding) and isinstance(item.payload, TokenUsage):
            ledger.add(item.agent or "run", item.payload)
    sums = ledger.totals()
    for field in (*TOKENS, "cost_usd"):
        want, got = (expected or {}).get(field), getattr(sums, field)
        tolerance = (expected or {}).get("tolerance", 0)
        share = tolerance.get(field, 0) if isinstance(tolerance, dict) else tolerance
        if field == "cost_usd":
            assert want is None or got == pytest.approx(want, abs=expected.get("cost_tolerance", 1e-6)), field
        elif want is None:
            assert got is None, field
        elif got is not None or not (want == 0 or field in expected.get("nullable", ())):
            assert got == pytest.approx(want, rel=share, abs=1e-9), field


@pytest.mark.parametrize("name", CAPTURES)
def test_agents(name: str) -> None:
    expected = json.loads((DATA / name / "expect.json").read_text())["agents"]
    seen = {item.agent for item in events(files(name), logs=True)}
    assert set(expected or ()) <= seen


@pytest.mark.parametrize("name", ["langchain-openai-callback", "claude-tui", "crewai-openai-verbose", "agno-debug"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunking_never_matters(name: str, size: int) -> None:
    whole, cut = ([i for i in events(files(name), n) if isinstance(i, Finding)] for n in (1 << 20, size))
    assert cut == whole


PIECES = st.sampled_from(
    [
        "Token usage: 5 input, 6 output", "Usage(", "input_tokens=5, ", "output_tokens=6", ")", "{'input_tokens': 5, ",
        "'output_tokens': 6}", "Prompt tokens: 5", "Completion tokens: 6", "\n", "\n", "\r", "\r\n", "│ ", "\x1b[32m",
        "\x1b[1B", "\x1b[2C", "Usage summary excluding cached usage:", "* Model 'm': cost: 1, prompt_tokens: 1, ",
        "completion_tokens: 2, total_tokens: 3", "Requests: 2", "---------- a ----------", "'",
        '"', "\\", "é", "\udcff",
        "Model  Reqs  Input Tokens  Output Tokens", "  gpt-4o  1  5  6", "Usage(\n", "  total_tokens=11,\n", "usage={",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=40), st.lists(st.integers(1, 30), min_size=1, max_size=5))
def test_any_cuts_give_the_same_findings(pieces: list[str], sizes: list[int]) -> None:
    data = "".join(pieces).encode("utf-8", "surrogateescape")
    whole = [i for i in events([("stdout", data)]) if isinstance(i, Finding)]
    pipeline = Pipeline([Tokens()], logs=False)
    cut: list[Plain | Finding] = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        cut += pipeline.feed("stdout", data[at : at + size], 0.0)
        at, turn = at + size, turn + 1
    assert [i for i in (*cut, *pipeline.close(0.0)) if isinstance(i, Finding)] == whole


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), PIECES.map(lambda s: s.encode("utf-8", "surrogateescape")))))
def test_any_bytes_never_raise(parts: list[bytes]) -> None:
    list(events([("stdout", b"".join(parts))], 13, logs=True))
