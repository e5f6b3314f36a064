"""What an agent reads or cites is not what it used; what stands beside it still is."""

import random

import pytest

from agentmon.collect.parsers import quotes
from agentmon.collect.parsers.all import standard
from agentmon.collect.pipeline import Pipeline
from agentmon.events import Finding, TokenUsage

OWN = "Token usage: 7 input, 8 output tokens"
DICT = '{"usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}}'
PRINT = "Token usage: 150 input, 200 output tokens"


def figures(text: str, *, cuts: int = 0) -> list[tuple[int | None, int | None]]:
    pipeline = Pipeline(standard(), logs=False)
    data = text.encode()
    places = sorted(random.Random(cuts).sample(range(1, len(data)), min(cuts, len(data) - 1)))
    items = [
        item
        for start, end in zip([0, *places], [*places, len(data)], strict=True)
        for item in pipeline.feed("stdout", data[start:end], 0.0)
    ]
    items += pipeline.close(0.0)
    usages = [i.payload for i in items if isinstance(i, Finding) and isinstance(i.payload, TokenUsage)]
    return [(u.input_tokens, u.output_tokens) for u in usages]


QUOTED = [
    f"```\n{PRINT}\n```",
    '```json\n{\n  "usage": {\n    "prompt_tokens": 9,\n    "completion_tokens": 12\n  }\n}\n```',
    f"╭───── ✅ Tool Execution Completed (#3) ─────╮\n│  Output: {DICT}  │\n│  {PRINT}  │\n╰─────╯",
    f"diff --git a/R b/R\nindex 12..45 100644\n--- a/R\n+++ b/R\n@@ -1,2 +1,3 @@\n+{DICT}\n {DICT}\n {PRINT}",
    f"commit 1234567\nAuthor: A <a@b>\nDate:   today\n\n    {PRINT}",
    f"$ cat usage.log\n{PRINT}\n{DICT}\n",
    f"$ printf '{DICT}'\n{DICT}\n",
    f"OpenAI Codex v0.169.0\n--------\nexec\ncat x\n{DICT}\n{PRINT}\n\n{PRINT}\ntokens used\n54,237",
    f"● Run: printf (shell)\n  │ printf '{DICT}'\n  │ Cost: $0.01 message, $0.02 session.\n  └ 2 lines…\n",
    f"{'=' * 33} Tool Message {'=' * 33}\nName: bash\n\n{DICT}\n{PRINT}\n{'=' * 34} Ai Message {'=' * 34}\nok",
    f"  Args:\n    command: printf '{DICT}'",
    f"README.md:12:{PRINT}",
    f"docs/usage.md:12:{DICT}",
    f'   12\t    "usage": {DICT}',
    f"+{PRINT}",
    f"- `{PRINT}`",
    f"The response has `{DICT}` in it.",
    f"Done. The API said {DICT} and that is all.",
    f"{PRINT} in the docs.",
    "assert usage == Usage(input_tokens=5, output_tokens=6)",
    "const usage = { input_tokens: 5, output_tokens: 6 };",
    '{"type":"object","properties":{"usage":{"default":{"input_tokens":1,"output_tokens":2}}}}',
    f"[FunctionExecutionResult(content='{DICT}', name='bash')]",
    "Estimated: 5000 input tokens, 2000 output tokens",
    "Budget: 100000 input tokens, 50000 output tokens",
    "Remaining tokens: input 1000, output 500",
    "Quota: Input tokens: 1000000, Output tokens: 200000",
    "Config: max_tokens: 1000, input_tokens: 500, output_tokens: 600",
    "Warning: 5000 input tokens, 2000 output tokens would exceed budget",
    "Dataset tokens: input 500, output 600",
    f"# {PRINT}",
    f"// usage: {DICT}",
    f'    """{PRINT}"""',
    ">>> Usage(input_tokens=1200, output_tokens=350)",
    f"    usage={DICT},",
    f'mock_response = {{"usage": {DICT}}}',
    f"        self.usage = {DICT}",
    f'    return {{"usage": {DICT}}}',
    f"| {PRINT} |",
]


@pytest.mark.parametrize("text", QUOTED)
def test_quoted(text: str) -> None:
    assert figures(f"{text}\n\n{OWN}\n") == [(7, 8)]
    assert figures(f"{text}\n\n{OWN}\n", cuts=9) == [(7, 8)]


@pytest.mark.parametrize(
    "text",
    [
        PRINT,
        f"INFO agent.py:12 - {PRINT}",
        f"- {PRINT}",
        "Response: " + '{"usage": {"prompt_tokens": 150, "completion_tokens": 200}}',
        "LLM response " + '{"usage": {"prompt_tokens": 150, "completion_tokens": 200}}',
        "body: b'" + '{"usage": {"prompt_tokens": 150, "completion_tokens": 200}}' + "'",
        f"```\nnever closed\n{PRINT}",
        f"```\nnever closed\n{PRINT}\n```python\nx = 1\n```",
        f"$ python agent.py\n{PRINT}",
        f"$ cat x\nshown\n\n{PRINT}",
        f"@@ -1 +1 @@\n-a\n+b\n{PRINT}",
        "Estimated cost: $0.01, input tokens: 150, output tokens: 200",
    ],
)
def test_not_quoted(text: str) -> None:
    assert figures(f"{text}\n") == [(150, 200)]
    assert figures(f"{text}\n", cuts=9) == [(150, 200)]


def test_a_total_that_is_an_object_as_its_calls_are() -> None:
    text = (
        "[Prompt tokens: 10, Completion tokens: 1]\n[Prompt tokens: 20, Completion tokens: 2]\n"
        "Total prompt tokens: 30\nTotal completion tokens: 3\nRequestUsage(prompt_tokens=30, completion_tokens=3)\n"
    )
    from agentmon.usage import Ledger

    pipeline, ledger = Pipeline(standard(), logs=False), Ledger()
    for item in [*pipeline.feed("stdout", text.encode(), 0.0), *pipeline.close(0.0)]:
        if isinstance(item, Finding) and isinstance(item.payload, TokenUsage):
            ledger.add("run", item.payload)
    assert (ledger.totals().input_tokens, ledger.totals().output_tokens) == (30, 3)


def test_a_print_and_then_the_record_of_one_call() -> None:
    from agentmon.usage import Ledger

    text = (
        "prompt_token_count=10 candidates_token_count=2 total_token_count=12\n"
        '{"id":"5bff4e61","usage_metadata":{"prompt_token_count":10,"candidates_token_count":2,"total_token_count":12}}\n'
    )
    pipeline, ledger = Pipeline(standard(), logs=False), Ledger()
    for item in [*pipeline.feed("stdout", text.encode(), 0.0), *pipeline.close(0.0)]:
        if isinstance(item, Finding) and isinstance(item.payload, TokenUsage):
            ledger.add("run", item.payload)
    assert (ledger.totals().input_tokens, ledger.totals().output_tokens, ledger.calls()) == (10, 2, 1)


def test_caches_that_are_told_by_age() -> None:
    from agentmon.collect.parsers.usage_shapes import counts

    told = counts(
        {
            "input_tokens": 24041,
            "output_tokens": 507,
            "total_tokens": 24548,
            "input_token_details": {"cache_read": 20013, "cache_creation": 0, "ephemeral_5m_input_tokens": 3017},
        }
    )
    assert told is not None
    assert (told.input, told.cache_read, told.cache_write) == (24041, 20013, 3017)


def test_each_of_the_words_counts() -> None:
    for word in quotes._UNUSED_WORDS:
        ends = {"estimat": "ed", "sav": "ed", "tokeniz": "er", "allow": "ed", "config": ":", "setting": ":"}
        text = f"x {word}{ends.get(word, '')} "
        assert quotes.is_unused(text, len(text), len(text)), word
