"""Which figures are about the same tokens: sequences of prints in, the sums of the run out."""

import pytest
from test_tokens import usages

from agentmon.usage import Ledger

METRICS = "UsageMetrics(total_tokens=385, prompt_tokens=350, completion_tokens=35, successful_requests=2)\n"
CALLS = "{'input_tokens': 100, 'output_tokens': 10}\n{'input_tokens': 250, 'output_tokens': 25}\n"


def sums(text: str) -> tuple[int | None, int | None, float | None]:
    ledger = Ledger()
    for usage in usages(text):
        ledger.add("a", usage)
    total = ledger.totals()
    return total.input_tokens, total.output_tokens, total.cost_usd


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CALLS, (350, 35)),
        (CALLS + "{'input_tokens': 350, 'output_tokens': 35}", (350, 35)),  # their sum is their total
        (CALLS + "Input tokens: 350\nOutput tokens: 35", (350, 35)),
        (CALLS + "Total input tokens: 350\nTotal output tokens: 60", (350, 60)),  # a stream's calls showed too little
        (CALLS + CALLS.splitlines()[1], (350, 35)),  # one call, printed twice
        ("Token usage: 100 input, 50 output\n" * 3, (300, 150)),  # but people's own lines may well agree
        ("Token usage: 100 input, 50 output\nToken usage: 200 input, 50 output", (300, 100)),
        (
            "RunUsage(input_tokens=350, output_tokens=35, requests=2)\n"
            "RequestUsage(input_tokens=100, output_tokens=10)\nRequestUsage(input_tokens=250, output_tokens=25)",
            (350, 35),
        ),
        ("".join(f"Token usage: {n} input, {n} output\n" for n in (100, 200, 300)), (600, 600)),  # calls, whatever
        ("Usage: 10 input, 1 output\nUsage: 20 input, 2 output\nTotal: 30 input tokens, 3 output tokens", (30, 3)),
        ("Token usage: 10 input, 1 output\nTotal token usage: 10 input, 1 output", (10, 1)),
        (
            "".join(
                f"[Step {n}: Duration 1.0 seconds| Input tokens: {given} | Output tokens: {made}]\n"
                for n, given, made in [(1, 100, 10), (1, 30, 3), (2, 70, 7), (2, 250, 25), (1, 40, 4), (3, 400, 40)]
            ),
            (510, 51),  # a manager of 400 and its worker, twice: 70 and 40
        ),
        (
            "[Step 1: Duration 1.0 seconds| Input tokens: 10 | Output tokens: 1]\n"
            "[Step 3: Duration 1.0 seconds| Input tokens: 40 | Output tokens: 4]",
            (40, 4),
        ),
        (METRICS * 2, (350, 35)),
        (
            "[Step 1: Duration 1.0 seconds| Input tokens: 100 | Output tokens: 10]\n"
            "[Step 2: Duration 1.0 seconds| Input tokens: 350 | Output tokens: 35]\n"
            "[Step 1: Duration 1.0 seconds| Input tokens: 70 | Output tokens: 7]",
            (420, 42),  # a count that falls is a new agent's
        ),
        (
            "     a-model:  10 input, 5 output, 0 cache read, 0 cache write ($0.01)\n"
            "     b-model:  20 input, 6 output, 0 cache read, 0 cache write ($0.02)\n" * 3,  # a dialogue, redrawn
            (30, 11),
        ),
        ("[Prompt tokens: 100, Completion tokens: 10]\n[Prompt tokens: 250, Completion tokens: 25]\n"
         "Total prompt tokens: 350\nTotal completion tokens: 35", (350, 35)),
    ],
)  # fmt: skip
def test_sums(text: str, expected: tuple[int, int]) -> None:
    assert sums(text)[:2] == expected


def test_a_total_keeps_what_an_equal_one_told() -> None:
    text = "Total input tokens: 350\nTotal output tokens: 35\nCost: $0.5\nRunUsage(input_tokens=350, output_tokens=35)"
    assert sums(text) == (350, 35, 0.5)


def test_calls_after_a_total_count_beside_it() -> None:
    text = CALLS + "Total input tokens: 350\nTotal output tokens: 35\n\n\n\n{'input_tokens': 7, 'output_tokens': 3}"
    assert sums(text)[:2] == (357, 38)
