"""Token usage in text: a line in, what it says out."""

from typing import Any

import pytest

from agentmon.collect.parsers.agents import Agents
from agentmon.collect.parsers.all import standard
from agentmon.collect.parsers.token_patterns import TOKENS
from agentmon.collect.parsers.tokens import Tokens
from agentmon.collect.pipeline import Pipeline
from agentmon.events import TokenUsage


def usages(text: str, *, names: list[str] | None = None) -> list[TokenUsage]:
    """What the parser finds in a text on stdout; `names` hears the patterns."""
    tokens = Tokens(None if names is None else lambda name, _: names.append(name))
    pipeline = Pipeline([tokens], logs=False)
    found = [*pipeline.feed("stdout", text.encode() + b"\n", 0.0), *pipeline.close(0.0)]
    return [item.payload for item in found if isinstance(item.payload, TokenUsage)]  # type: ignore[union-attr]


def said(usage: TokenUsage) -> dict[str, Any]:
    """The fields that are known, in short."""
    names = {
        "input_tokens": "input", "output_tokens": "output", "cache_read_tokens": "cache_read",
        "cache_write_tokens": "cache_write", "reasoning_tokens": "reasoning", "cost_usd": "cost", "model": "model",
        "tool": "tool", "estimated": "estimated",
    }  # fmt: skip
    out = {short: value for name, short in names.items() if (value := getattr(usage, name)) is not None}
    return out | ({"scope": "session"} if usage.scope == "session" else {})


# One line of each pattern, and what it says.
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "token-usage": ("Token usage: 1,234 input, 56 output", {"input": 1234, "output": 56}),
    "in-and-out": ("LLM call 3: 1,234 input tokens, 567 output tokens", {"input": 1234, "output": 567}),
    "tokens-number-first": (
        "📊 Tokens: 1,550 (1,200 prompt + 350 completion)",
        {"input": 1200, "output": 350},
    ),
    "tokens-in-out": ("Tokens used: 150 (input: 100, output: 50)", {"input": 100, "output": 50}),
    "aider": (
        "Tokens: 2.4k sent, 1.1k cache hit, 38 received. Cost: $0.0065 message, $0.0130 session.",
        {"input": 2400, "output": 38, "cache_read": 1100, "cost": 0.0065, "tool": "aider", "estimated": True},
    ),
    "aider-cost": ("Cost: $0.0065 message, $0.0130 session.", {"cost": 0.0065, "tool": "aider"}),
    "agno-metrics-written": (
        "DEBUG   * Tokens:                      input=228, output=60, total=288, cached=10, cache_write_tokens=1024",
        {"input": 1262, "output": 60, "cache_read": 10, "cache_write": 1024, "tool": "agno"},
    ),
    "tokens-in": ("📊 1,234 tokens in · 56 out", {"input": 1234, "output": 56}),
    "smolagents-step": (
        "[Step 2: Duration 0.34 seconds| Input tokens: 2,374 | Output tokens: 113]",
        {"input": 2374, "output": 113, "tool": "smolagents", "scope": "session"},
    ),
    "mini-swe-agent-step": (
        "mini-swe-agent (step 4, $0.02):",
        {"cost": 0.02, "tool": "mini-swe-agent", "scope": "session"},
    ),
    "swe-agent-total": (
        "INFO     total_tokens_sent=3,247, total_tokens_received=124, total_cost=0.04, total_api_calls=1",
        {"input": 3247, "output": 124, "cost": 0.04, "tool": "swe-agent", "scope": "session"},
    ),
    "agno-metrics": (
        "DEBUG   * Tokens:                      input=1121, output=50, total=1171, cached=128, reasoning=12",
        {"input": 1121, "output": 50, "cache_read": 128, "reasoning": 12, "tool": "agno"},
    ),
    "autogen-message": (
        "[Prompt tokens: 84, Completion tokens: 14]",
        {"input": 84, "output": 14, "tool": "autogen"},
    ),
    "ag2-model": (
        "Usage summary excluding cached usage: \nTotal cost: 0.00015\n"
        "* Model 'gpt-4o': cost: 4e-05, prompt_tokens: 25, completion_tokens: 58, total_tokens: 83\n\n"
        "Usage summary including cached usage: \nTotal cost: 0.00027\n"
        "* Model 'gpt-4o': cost: 0.00027, prompt_tokens: 50, completion_tokens: 100, total_tokens: 150",
        {"input": 25, "output": 58, "cost": 4e-05, "model": "gpt-4o", "tool": "ag2", "scope": "session"},
    ),
    "metagpt-cost": (
        "2024-01-01 | INFO | metagpt.utils.cost_manager:update_cost:57 - Total running cost: $0.012 | "
        "Max budget: $10.000 | Current cost: $0.002, prompt_tokens: 500, completion_tokens: 50",
        {"input": 500, "output": 50, "cost": 0.002, "tool": "metagpt"},
    ),
    "claude-cost-model": (
        "     claude-opus-4-8:  10.6k input, 5.4k output, 200.7k cache read, 30.9k cache write ($0.4814)",
        {
            "input": 242200, "output": 5400, "cache_read": 200700, "cache_write": 30900, "cost": 0.4814,
            "model": "claude-opus-4-8", "tool": "claude-code", "estimated": True, "scope": "session",
        },
    ),
    "codex-exit": (
        "Token usage: total=178,511 input=157,268 (+ 3,974,528 cached) output=21,243 (reasoning 4,595)",
        {
            "input": 4131796, "output": 21243, "cache_read": 3974528, "reasoning": 4595, "tool": "codex",
            "scope": "session",
        },
    ),
    "copilot-total": (
        "Tokens     ↑ 112.5k (37.0k cached) • ↓ 7.2k (1.0k reasoning)",
        {
            "input": 112500, "output": 7200, "cache_read": 37000, "reasoning": 1000, "tool": "copilot-cli",
            "estimated": True, "scope": "session",
        },
    ),
    "copilot-model": (
        " gpt-5.4                 273.4k in, 18.2k out, 192.1k cached (Est. 1 Premium request)",
        {
            "input": 273400, "output": 18200, "cache_read": 192100, "model": "gpt-5.4", "tool": "copilot-cli",
            "estimated": True, "scope": "session",
        },
    ),
    "openhands-total": (
        "╰── Tokens: ↑ input 5.2K • cache hit 12.00% •  reasoning 64 • ↓ output 156 • $ 0.0023 ──╯",
        {
            "input": 5200, "output": 156, "reasoning": 64, "cost": 0.0023, "tool": "openhands", "estimated": True,
            "scope": "session",
        },
    ),
    "goose-cost": (
        "Cost: $0.0123 USD (4200 tokens: in 3500 (100 cache read, 20 cache write), out 700)",
        {
            "input": 3500, "output": 700, "cache_read": 100, "cache_write": 20, "cost": 0.0123, "tool": "goose",
            "scope": "session",
        },
    ),
    "strands-summary": (
        "├─ Tokens: in=123, out=45, total=168, cache_read_input_tokens=100",
        {"input": 123, "output": 45, "cache_read": 100, "tool": "strands", "scope": "session"},
    ),
    "pi-footer": (
        "↑12k ↓3.4k R5.0k W1.0k $0.050 (sub) 6.2%/200k (auto)            claude-opus-4",
        {
            "input": 18000, "output": 3400, "cache_read": 5000, "cache_write": 1000, "cost": 0.05, "tool": "pi",
            "estimated": True, "scope": "session",
        },
    ),
    "arrows": ("Tokens: ↑ 1.2k · ↓ 300", {"input": 1200, "output": 300, "estimated": True, "scope": "session"}),
    "model-table-row": (
        "│  Model Usage                            Reqs   Input Tokens  Output Tokens    │\n│  ─────    │\n"
        "│  qwen3-coder-plus                          9        112,545          7,155    │",
        {"input": 112545, "output": 7155, "model": "qwen3-coder-plus", "scope": "session"},
    ),
    "model-table-cached-row": (
        "│  Model Usage                Reqs   Input Tokens   Cache Reads  Output Tokens  │\n"
        "│  gemini-2.5-pro                5         12,345         1,000            678  │",
        {"input": 13345, "output": 678, "cache_read": 1000, "model": "gemini-2.5-pro", "scope": "session"},
    ),
}  # fmt: skip
_NO_FIGURES = {"ag2-summary", "ag2-summary-cached", "ag2-cached-model", "model-table", "model-table-cached"}


def test_every_pattern_has_a_line() -> None:
    assert {p.name for p in TOKENS} - _NO_FIGURES == LINES.keys()


@pytest.mark.parametrize("name", LINES)
def test_line(name: str) -> None:
    text, expected = LINES[name]
    names: list[str] = []
    found = usages(text, names=names)
    assert [said(usage) for usage in found] == [expected]
    assert name in names


@pytest.mark.parametrize(
    "before",
    [
        "", "  ", "2026-01-02 10:00:00,123 - crew.main - INFO - ", "[2026-01-02T10:00:00Z] ", "INFO:root:", "DEBUG ",
        "│ ", "- ", "* ", "📊 ", "[agent planner] ", "(worker-1) ", "10:00:01 | INFO | app.main:run:57 - ",
        "Jan  2 10:00:00 ", "crew: ", "\t", "> ", "\x1b[32m", "12:30:01.123 ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("after", ["", "  │", ".", " (took 3 s)", "\r"])
def test_the_basic_line_behind_what_stands_before_messages(before: str, after: str) -> None:
    found = usages(f"{before}Token usage: 1500 input, 300 output{after}")
    assert [said(u) for u in found] == [{"input": 1500, "output": 300}]


OBJECTS: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "Usage(cache_creation=None, cache_creation_input_tokens=1024, cache_read_input_tokens=0, input_tokens=228, "
        "output_tokens=60, service_tier=None)",
        [{"input": 1252, "output": 60, "cache_read": 0, "cache_write": 1024}],
    ),
    (
        "gpt-4o RequestUsage(cache_read_tokens=128, cost=Decimal('0.0031425'), details={'reasoning_tokens': 12}, "
        "input_tokens=1121, output_reasoning_tokens=12, output_tokens=50)",
        [{"input": 1121, "output": 50, "cache_read": 128, "reasoning": 12, "cost": 0.0031425, "model": "gpt-4o",
          "tool": "pydantic-ai"}],
    ),
    (
        "Usage(requests=2, request_tokens=57, response_tokens=8, total_tokens=65, details=None)",
        [{"input": 57, "output": 8, "tool": "pydantic-ai", "scope": "session"}],
    ),
    (
        "TaskResult(messages=[TextMessage(source='user', models_usage=None, created_at=datetime.datetime(2025, 1, 2, "
        "tzinfo=datetime.timezone.utc), content='x'), TextMessage(source='a', models_usage=RequestUsage("
        "prompt_tokens=55, completion_tokens=10), content=\"it's\")], stop_reason=None)",
        [{"input": 55, "output": 10, "tool": "autogen"}],
    ),
    (
        "content='hi' additional_kwargs={} response_metadata={'token_usage': {'completion_tokens': 50, "
        "'prompt_tokens': 1121, 'total_tokens': 1171}, 'model_name': 'gpt-4o', 'id': 'chatcmpl-1'} id='run--1' "
        "usage_metadata={'input_tokens': 1121, 'output_tokens': 50, 'total_tokens': 1171, 'input_token_details': "
        "{'cache_read': 128}}",
        [{"input": 1121, "output": 50, "cache_read": 128, "model": "gpt-4o", "tool": "langchain"}],
    ),
    (
        "Token usage: total_tokens=42636 prompt_tokens=40344 cached_prompt_tokens=3456 completion_tokens=2292 "
        "successful_requests=24",
        [{"input": 40344, "output": 2292, "cache_read": 3456, "tool": "crewai", "scope": "session"}],
    ),
    (
        "2025-01-01T00:00:00Z INFO llm done model=gpt-4o input_tokens=100 output_tokens=50 duration=1.2s",
        [{"input": 100, "output": 50, "model": "gpt-4o"}],
    ),
    (
        "model='llama3.2' done=True eval_duration=4709213000 prompt_eval_count=26 eval_count=290",
        [{"input": 26, "output": 290, "model": "llama3.2"}],
    ),
    (
        "RawMessageStartEvent(message=Message(id='msg_1', content=[], model='claude-opus-4-1', role='assistant', "
        "usage=Usage(cache_read_input_tokens=20, input_tokens=100, output_tokens=1)), type='message_start')\n"
        "RawMessageDeltaEvent(delta=Delta(stop_reason='end_turn'), type='message_delta', "
        "usage=MessageDeltaUsage(output_tokens=50))\n"
        "ParsedMessageStopEvent(type='message_stop', message=ParsedMessage(id='msg_1', model='claude-opus-4-1', "
        "usage=Usage(cache_read_input_tokens=20, input_tokens=100, output_tokens=50)))",
        [{"input": 120, "output": 50, "cache_read": 20, "model": "claude-opus-4-1"}],
    ),
    (
        "RawMessageStartEvent(message=Message(id='msg_1', usage=Usage(input_tokens=100, output_tokens=1)), "
        "type='message_start')",
        [{"input": 100}],
    ),
    (
        "{\n    'id': 'x',\n    'usage': {\n        'completion_tokens': 50,\n        'prompt_tokens': 100,\n"
        "        'completion_tokens_details': {\n            'reasoning_tokens': 12,\n        },\n"
        "        'prompt_tokens_details': {\n            'audio_tokens': None,\n            'cached_tokens': 64,\n"
        "        },\n    },\n}",
        [{"input": 100, "output": 50, "cache_read": 64, "reasoning": 12}],
    ),
    ("usage: { promptTokens: 12, completionTokens: 3, totalTokens: 15 }", [{"input": 12, "output": 3}]),
    ("TokenUsage { input_tokens: 100, output_tokens: 20, total_tokens: 120 }", [{"input": 100, "output": 20}]),
    ("usage=TokenUsage{InputTokens:100 OutputTokens:20 TotalTokens:120}", [{"input": 100, "output": 20}]),
    (
        "{'total_cycles': 2, 'accumulated_usage': {'inputTokens': 100, 'outputTokens': 20, 'totalTokens': 120}}",
        [{"input": 100, "output": 20, "scope": "session"}],
    ),
    (
        "{'openai/gpt-4o': {'completion_tokens': 5, 'prompt_tokens': 50, 'total_tokens': 55}}",
        [{"input": 50, "output": 5, "model": "openai/gpt-4o", "scope": "session"}],
    ),
    (
        "usage_metadata=GenerateContentResponseUsageMetadata(\n  candidates_token_count=31,\n"
        "  candidates_tokens_details=[\n    ModalityTokenCount(\n      modality=<MediaModality.TEXT: 'TEXT'>,\n"
        "      token_count=31\n    ),\n  ],\n  prompt_token_count=6,\n  thoughts_token_count=10,\n"
        "  total_token_count=47\n)",
        [{"input": 6, "output": 41, "reasoning": 10}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), OBJECTS)
def test_object(text: str, expected: list[dict[str, Any]]) -> None:
    assert [said(usage) for usage in usages(text)] == expected


LABELS: list[tuple[str, list[dict[str, Any]]]] = [
    ("Input tokens: 7065 Output tokens: 380 Total tokens: 7445", [{"input": 7065, "output": 380}]),
    ("Requests: 5\nInput tokens: 7065 Output tokens: 380", [{"input": 7065, "output": 380, "scope": "session"}]),
    (
        "Tokens Used: 5610\n\tPrompt Tokens: 5332\n\t\tPrompt Tokens Cached: 512\n\tCompletion Tokens: 278\n"
        "\t\tReasoning Tokens: 26\nSuccessful Requests: 4\nTotal Cost (USD): $0.01547",
        [{"input": 5332, "output": 278, "cache_read": 512, "reasoning": 26, "cost": 0.01547, "scope": "session"}],
    ),
    (
        "Number of messages: 3\nTotal prompt tokens: 200\nTotal completion tokens: 50\nDuration: 1.2 seconds",
        [{"input": 200, "output": 50, "scope": "session"}],
    ),
    ("LLM Prompt Token Usage: 1482\nLLM Completion Token Usage: 47", [{"input": 1482, "output": 47}]),
    (  # both were printed when it was made, too
        "LLM Prompt Token Usage: 15\nLLM Completion Token Usage: 4\n"
        "CompletionUsage(completion_tokens=4, prompt_tokens=15, total_tokens=19)\n"
        "LLM Prompt Tokens:  15\nLLM Completion Tokens:  4\n",
        [{"input": 15, "output": 4}],
    ),
    (
        "Embedding Tokens:  20\nLLM Prompt Tokens:  15\nLLM Completion Tokens:  4\nTotal LLM Token Count:  19",
        [{"input": 15, "output": 4, "scope": "session"}],
    ),
    (
        "prompt eval count:    26 token(s)\nprompt eval duration: 130ms\nprompt eval rate:     200.00 tokens/s\n"
        "eval count:           290 token(s)\neval rate:            61.5 tokens/s",
        [{"input": 26, "output": 290}],
    ),
    ("Input: 1,200 tokens, output: 350 tokens", [{"input": 1200, "output": 350}]),
    ("Prompt: 1200 tokens\nCompletion: 350 tokens", [{"input": 1200, "output": 350}]),
    (
        "┃ Metric        ┃ Value ┃\n│ Input tokens  │ 1,200 │\n│ Output tokens │ 350   │",
        [{"input": 1200, "output": 350}],
    ),
    ("[Usage] Prompt tokens: 10\n[Usage] Response tokens: 5", [{"input": 10, "output": 5}]),
    ("{'completion_tokens': 50,\n 'prompt_tokens': 1121,\n 'total_tokens': 1171}", [{"input": 1121, "output": 50}]),
    ("{\n  inputTokens: 12,\n  outputTokens: 3,\n  totalTokens: 15\n}", [{"input": 12, "output": 3}]),
    ("prompt_tokens: 500\ncompletion_tokens: 50\ntotal_tokens: 550\ncost: $0.0015",
     [{"input": 500, "output": 50, "cost": 0.0015}]),
    (
        "Prompt tokens: 1\nCompletion tokens: 2\nPrompt tokens: 3\nCompletion tokens: 4",
        [{"input": 1, "output": 2}, {"input": 3, "output": 4}],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), LABELS)
def test_labels(text: str, expected: list[dict[str, Any]]) -> None:
    assert [said(usage) for usage in usages(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Merged feature/user-login into main. 150 tokens of commentary saved; no conflicts.",
        "I think the Token usage: 1500 input, 300 output was fine",
        "Estimated size: about 1,500 tokens of code.",
        "✽ Moseying… (3s · ↓ 372 tokens)",
        "  ⠸ Loading the next great idea... (0s · ↓ 7 tokens · esc to cancel)",
        "Context: ●●●○○ 42% (4200/10000 tokens)",
        "Input tokens: 5,000 / 200,000\nOutput tokens: 300 / 8,000",
        "max_input_tokens: 128000, max_output_tokens: 16384",
        "{'max_input_tokens': 128000, 'max_output_tokens': 16384, 'max_tokens': 16384}",
        "Input tokens: $2.50 / 1M\nOutput tokens: $10.00 / 1M",
        "Rates: 100 input tokens and 50 output tokens per second",
        "UsageLimits(request_limit=50, input_tokens_limit=100, total_tokens_limit=1000)",
        "LiteLLM: Params passed to completion() {'model': 'gpt-4o', 'max_tokens': 64, 'max_completion_tokens': None}",
        "Max tokens: 4096\nInput tokens: 100",
        "tokens used\n82,665",
        "Usage: /stats [model|tools]",
        "Token usage: high input, low output",
        "usage=None",
        "Usage(requests=0, input_tokens=0, output_tokens=0, total_tokens=0)",
        '{"usage": {"input_tokens": 5, "output_tokens": 6}}',
        'usage {"prompt_tokens": 5, "completion_tokens": 6}',
        '  "input_tokens": 279,\n  "output_tokens": 117',
        "Output Tokens: 12",
        "Input: 30000 tokens per minute, Output: 8000 tokens per minute",
        "Input: 5 files, Output: 7 files",
        "│ Input tokens  │ 1,200 │ 3,400 │\n│ Output tokens │ 350   │ 600   │",
        "| gpt-4o | 128,000 input tokens | 16,384 output tokens |",
        "    usage = Usage(input_tokens=1200, output_tokens=350)",
        "self.usage = TokenUsage(input_tokens=100, output_tokens=50)",
        "cost = calc_cost(input_tokens=1200, output_tokens=350)",
        "The usage of that call: it has 1200 input tokens and 350 output tokens",
        "input_cost_per_token: 2.5e-06",
    ],
)
def test_what_is_no_usage(text: str) -> None:
    assert usages(text) == []


def test_a_table_with_a_column_for_each_model() -> None:
    text = """
  │  Model Stats For Nerds                                        │
  │  Metric          gemini-2.5-pro      gemini-2.5-flash         │
  │  ─────────────────────────────────────────────────            │
  │  API                                                          │
  │  Requests        5                   2                        │
  │  Errors          0 (0.0%)            0 (0.0%)                 │
  │  Tokens                                                       │
  │  Total           12,345              2,100                    │
  │    ↳ Prompt      11,000              2,000                    │
  │    ↳ Cached      1,000 (9.1%)        0 (0.0%)                 │
  │    ↳ Thoughts    200                 0                        │
  │    ↳ Output      1,145               100                      │
  ╰───────────────────────────────────────────────────────────────╯"""
    assert [said(usage) for usage in usages(text * 2)][:2] == [
        {
            "input": 11000,
            "output": 1345,
            "cache_read": 1000,
            "reasoning": 200,
            "model": "gemini-2.5-pro",
            "scope": "session",
        },
        {
            "input": 2000,
            "output": 100,
            "cache_read": 0,
            "reasoning": 0,
            "model": "gemini-2.5-flash",
            "scope": "session",
        },
    ]


@pytest.mark.parametrize("text", [*(text for text, _ in LINES.values()), *(text for text, _ in (*OBJECTS, *LABELS))])
def test_no_other_parser_counts_it_too(text: str) -> None:
    pipeline = Pipeline(standard(), logs=False)
    found = [*pipeline.feed("stdout", text.encode() + b"\n", 0.0), *pipeline.close(0.0)]
    both = [item.payload for item in found if isinstance(item.payload, TokenUsage)]  # type: ignore[union-attr]
    assert both == usages(text)


def test_a_part_is_never_more_than_the_whole() -> None:
    (usage,) = usages("DEBUG   * Tokens:     input=228, output=60, total=288, cached=4000")
    assert said(usage) == {"input": 4228, "output": 60, "cache_read": 4000, "tool": "agno"}


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-02 10:00:00,123 - app.worker - INFO - [main]: processed 5 items (ok): next > done",
        "Jan  2 10:00:00 host sshd[123]: Accepted publickey for dev from 10.0.0.1 port 22 ssh2",
        '127.0.0.1 - - [02/Jan/2026:10:00:00 +0000] "GET /api/users?page=2 HTTP/1.1" 200 1234',
        'INFO:httpx:HTTP Request: POST https://api.openai.com/v1/chat/completions "HTTP/1.1 200 OK"',
        "DEBUG auth: token refreshed for user 5, message: fine",
        "src/auth.py:12:5: E501 line too long (121 > 120 characters)",
        "tests/unit/test_auth.py::test_login PASSED [ 50%]",
    ],
)
def test_ordinary_lines_are_looked_at_by_nobody(line: str) -> None:
    assert [needle for needle in (*Tokens.needles, *Agents.needles) if needle in line] == []
