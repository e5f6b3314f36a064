"""Usage objects of every dialect, read by their keys."""

import pytest

from agentmon.collect.parsers.usage_objects import read

FIELDS = {
    "in": "input_tokens",
    "out": "output_tokens",
    "total": "total_tokens",
    "read": "cache_read_tokens",
    "write": "cache_write_tokens",
    "think": "reasoning_tokens",
    "cost": "cost_usd",
    "model": "model",
    "id": "call_id",
    "scope": "scope",
    "session": "session_id",
}


def shown(obj, key=""):
    """What was read, in short names, without what is unknown or a single call's scope."""
    found = []
    for usage in read(obj, key=key):
        told = {short: getattr(usage, name) for short, name in FIELDS.items()}
        found.append({k: v for k, v in told.items() if v is not None and (k, v) != ("scope", "call")})
    return found


OPENAI = {"prompt_tokens": 1121, "completion_tokens": 50, "total_tokens": 1171}
CASES = {
    "anthropic excludes cache": (
        {
            "id": "msg_1",
            "model": "claude-sonnet-4-5",
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 262,
                "cache_creation_input_tokens": 192,
                "cache_read_input_tokens": 1599,
                "output_tokens": 98,
            },
        },
        [
            {
                "in": 2053,
                "out": 98,
                "total": 2151,
                "read": 1599,
                "write": 192,
                "model": "claude-sonnet-4-5",
                "id": "msg_1",
            }
        ],
    ),
    "openai chat includes cache and reasoning": (
        {
            "id": "chatcmpl-1",
            "model": "gpt-4o",
            "usage": OPENAI
            | {"completion_tokens_details": {"reasoning_tokens": 12}, "prompt_tokens_details": {"cached_tokens": 128}},
        },
        [{"in": 1121, "out": 50, "total": 1171, "read": 128, "think": 12, "model": "gpt-4o", "id": "chatcmpl-1"}],
    ),
    "openai responses": (
        {
            "type": "response.completed",
            "response": {
                "id": "resp_1",
                "model": "gpt-5",
                "usage": {
                    "input_tokens": 10,
                    "input_tokens_details": {"cached_tokens": 4},
                    "output_tokens": 5,
                    "output_tokens_details": {"reasoning_tokens": 2},
                    "total_tokens": 15,
                },
            },
        },
        [{"in": 10, "out": 5, "total": 15, "read": 4, "think": 2, "model": "gpt-5", "id": "resp_1"}],
    ),
    "gemini adds thoughts and tool prompts": (
        {
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 3,
                "toolUsePromptTokenCount": 4,
                "cachedContentTokenCount": 6,
                "totalTokenCount": 22,
            },
            "modelVersion": "gemini-2.5-pro",
            "responseId": "r1",
        },
        [{"in": 14, "out": 8, "total": 22, "read": 6, "think": 3, "model": "gemini-2.5-pro", "id": "r1"}],
    ),
    "gemini through openai's api: reasoning only in the total": (
        {"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 170}},
        [{"in": 100, "out": 70, "total": 170}],
    ),
    "grok: completion without reasoning": (
        {
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 170,
                "completion_tokens_details": {"reasoning_tokens": 50},
            }
        },
        [{"in": 100, "out": 70, "total": 170, "think": 50}],
    ),
    "qwen code: anthropic's names, openai's meaning": (
        {
            "usage": {
                "input_tokens": 12101,
                "output_tokens": 719,
                "cache_read_input_tokens": 4023,
                "total_tokens": 12820,
            }
        },
        [{"in": 12101, "out": 719, "total": 12820, "read": 4023}],
    ),
    "bedrock converse": (
        {
            "usage": {
                "inputTokens": 30,
                "outputTokens": 10,
                "totalTokens": 140,
                "cacheReadInputTokens": 100,
                "cacheWriteInputTokens": 0,
            }
        },
        [{"in": 130, "out": 10, "total": 140, "read": 100, "write": 0}],
    ),
    "a part cannot be more than the whole": (
        {"usage": {"inputTokens": 3, "outputTokens": 50, "cacheReadTokens": 1300, "cacheWriteTokens": 200}},
        [{"in": 1503, "out": 50, "total": 1553, "read": 1300, "write": 200}],
    ),
    "opencode": (
        {
            "type": "step_finish",
            "sessionID": "ses_1",
            "part": {
                "id": "prt_1",
                "type": "step-finish",
                "cost": 0.01,
                "tokens": {
                    "total": 12940,
                    "input": 8156,
                    "output": 632,
                    "reasoning": 106,
                    "cache": {"write": 0, "read": 4046},
                },
            },
        },
        [
            {
                "in": 12202,
                "out": 738,
                "total": 12940,
                "read": 4046,
                "write": 0,
                "think": 106,
                "cost": 0.01,
                "id": "prt_1",
                "session": "ses_1",
            }
        ],
    ),
    "pi": (
        {
            "role": "assistant",
            "model": "m",
            "responseId": "r",
            "timestamp": 1795336669536,
            "usage": {
                "input": 8078,
                "output": 719,
                "cacheRead": 4023,
                "cacheWrite": 0,
                "totalTokens": 12820,
                "cost": {"input": 0.008, "total": 0.0099},
            },
        },
        [{"in": 12101, "out": 719, "total": 12820, "read": 4023, "write": 0, "cost": 0.0099, "model": "m", "id": "r"}],
    ),
    "claude code's modelUsage before its usage": (
        {
            "type": "result",
            "session_id": "s",
            "total_cost_usd": 0.5,
            "usage": {"input_tokens": 1, "output_tokens": 1},
            "modelUsage": {
                "a-1": {
                    "inputTokens": 5,
                    "outputTokens": 2,
                    "cacheReadInputTokens": 10,
                    "cacheCreationInputTokens": 0,
                    "costUSD": 0.5,
                    "contextWindow": 200000,
                }
            },
        },
        [
            {
                "in": 15,
                "out": 2,
                "total": 17,
                "read": 10,
                "write": 0,
                "cost": 0.5,
                "model": "a-1",
                "scope": "session",
                "session": "s",
            }
        ],
    ),
    "claude code's message that has only begun": (
        {
            "type": "assistant",
            "session_id": "s",
            "message": {
                "id": "msg_1",
                "stop_reason": None,
                "usage": {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 5,
                    "cache_creation_input_tokens": 0,
                    "output_tokens": 1,
                },
            },
        },
        [{"in": 15, "read": 5, "write": 0, "id": "msg_1", "session": "s"}],
    ),
    "codex turn": (
        {"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 30, "output_tokens": 9}},
        [{"in": 100, "out": 9, "total": 109, "read": 30, "scope": "session"}],
    ),
    "codex session file: the total, not the last call": (
        {
            "type": "event_msg",
            "payload": {
                "type": "token_count",
                "info": {
                    "total_token_usage": {"input_tokens": 100, "output_tokens": 5, "total_tokens": 105},
                    "last_token_usage": {"input_tokens": 50, "output_tokens": 5, "total_tokens": 55},
                    "model_context_window": 258400,
                },
            },
        },
        [{"in": 100, "out": 5, "total": 105, "scope": "session"}],
    ),
    "codex's record of a call, its turn and its thread": (
        {
            "type": "token_usage_record",
            "payload": {
                "thread_id": "t",
                "response_id": "resp_2",
                "usage": {"input_tokens": 20, "output_tokens": 2},
                "turn_token_usage": {"input_tokens": 30, "output_tokens": 3},
                "thread_token_usage": {"input_tokens": 50, "output_tokens": 5},
            },
        },
        [
            {"in": 20, "out": 2, "total": 22, "id": "resp_2", "session": "t"},
            {"in": 50, "out": 5, "total": 55, "session": "t", "scope": "session"},
        ],
    ),
    "langchain tells one call twice": (
        {
            "generations": [
                [
                    {
                        "message": {
                            "kwargs": {
                                "id": "lc_run--1",
                                "usage_metadata": {
                                    "input_tokens": 1121,
                                    "output_tokens": 50,
                                    "total_tokens": 1171,
                                    "output_token_details": {"reasoning": 12},
                                },
                            }
                        }
                    }
                ]
            ],
            "llm_output": {"token_usage": OPENAI, "model_name": "gpt-4o", "id": "chatcmpl-1"},
        },
        [{"in": 1121, "out": 50, "total": 1171, "think": 12, "model": "gpt-4o", "id": "lc_run--1"}],
    ),
    "two calls with the same figures": (
        {"calls": [{"id": "chatcmpl-1", "usage": OPENAI}, {"id": "chatcmpl-2", "usage": OPENAI}]},
        [{"in": 1121, "out": 50, "total": 1171, "id": f"chatcmpl-{n}"} for n in (1, 2)],
    ),
    "a total beside its parts": (
        {
            "metrics": {"input_tokens": 30, "output_tokens": 9},
            "messages": [{"metrics": {"input_tokens": n, "output_tokens": m}} for n, m in ((10, 4), (20, 5))],
        },
        [{"in": 10, "out": 4, "total": 14}, {"in": 20, "out": 5, "total": 25}],
    ),
    "ai sdk": (
        {
            "steps": [
                {"usage": {"inputTokens": 1, "outputTokens": 2}},
                {"usage": {"inputTokens": 4, "outputTokens": 5}},
            ],
            "totalUsage": {"inputTokens": 5, "outputTokens": 7},
        },
        [
            {"in": 1, "out": 2, "total": 3},
            {"in": 4, "out": 5, "total": 9},
            {"in": 5, "out": 7, "total": 12, "scope": "session"},
        ],
    ),
    "copilot's session file": (
        {
            "type": "session.shutdown",
            "data": {
                "modelMetrics": {
                    "m-1": {
                        "requests": {"count": 5, "cost": 1},
                        "usage": {"inputTokens": 100, "outputTokens": 10, "cacheReadTokens": 50, "cacheWriteTokens": 0},
                    }
                }
            },
        },
        [{"in": 100, "out": 10, "total": 110, "read": 50, "write": 0, "model": "m-1", "scope": "session"}],
    ),
    "opentelemetry attributes, also as strings": (
        {"gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": 4, "gen_ai.request.model": "gpt-4o"},
        [{"in": 12, "out": 4, "total": 16, "model": "gpt-4o"}],
    ),
    "an agent's span sums up those of its calls": (
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 4},
        [],
    ),
    "ollama": (
        {"model": "llama3", "prompt_eval_count": 26, "eval_count": 298, "total_duration": 123456},
        [{"in": 26, "out": 298, "total": 324, "model": "llama3"}],
    ),
    "several requests make a total": (
        {"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109, "successful_requests": 3},
        [{"in": 100, "out": 9, "total": 109, "scope": "session"}],
    ),
    "cohere: billed units repeat the tokens": (
        {
            "meta": {
                "billed_units": {"input_tokens": 5, "output_tokens": 6},
                "tokens": {"input_tokens": 50, "output_tokens": 6},
            }
        },
        [{"in": 50, "out": 6, "total": 56}],
    ),
    "a log record of an unknown tool": (
        {"level": "info", "msg": "llm call", "model": "gpt-4o", "input_tokens": 10, "output_tokens": 5},
        [{"in": 10, "out": 5, "total": 15, "model": "gpt-4o"}],
    ),
    "a cost without tokens": (
        {"type": "result", "session_id": "s", "total_cost_usd": 0.25},
        [{"cost": 0.25, "scope": "session", "session": "s"}],
    ),
    "opentelemetry's anthropic attributes": (
        {
            "gen_ai.usage.input_tokens": 1252,
            "gen_ai.usage.output_tokens": 60,
            "gen_ai.usage.cache_write.input_tokens": 1024,
            "gen_ai.usage.cache_read.input_tokens": "0",
            "gen_ai.response.id": "msg_1",
        },
        [{"in": 1252, "out": 60, "total": 1312, "read": 0, "write": 1024, "id": "msg_1"}],
    ),
    "a run's id is not its calls'": (
        {
            "id": "run-1",
            "steps": [
                {"usage": {"input_tokens": 1, "output_tokens": 2}},
                {"usage": {"input_tokens": 3, "output_tokens": 4}},
            ],
        },
        [{"in": 1, "out": 2, "total": 3}, {"in": 3, "out": 4, "total": 7}],
    ),
}


@pytest.mark.parametrize(("obj", "expected"), CASES.values(), ids=CASES)
def test_dialect(obj, expected):
    assert shown(obj) == expected


NONE = {
    "limits of a model": {"max_input_tokens": 128000, "max_output_tokens": 16384, "input_cost_per_token": 1e-6},
    "a model list": {"models": {"gpt": {"limit": {"context": 100, "output": 10}, "cost": {"input": 1, "output": 2}}}},
    "a rate limit": {"rate_limits": {"input_tokens": 1000, "output_tokens": 500}},
    "a budget": {"budget": {"input_tokens": 1000, "output_tokens": 500}},
    "a context window": {
        "toolTelemetry": {"metrics": {"context_token_limit": 922000, "context_current_tokens": 11159}}
    },
    "nothing yet": {"usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}},
    "no cost either": {"type": "result", "session_id": "s", "total_cost_usd": 0, "usage": {"input_tokens": 0}},
    "a sub-agent's progress": {
        "type": "system",
        "subtype": "task_progress",
        "usage": {"total_tokens": 9000, "tool_uses": 3, "duration_ms": 5},
    },
    "rows of a pipeline": {
        "metrics": {"input": 100, "output": 90},
        "stats": {"input": 100, "output": 90, "total": 190},
    },
    "prices by model": {"models": {"gpt-4o": {"input": 3, "output": 15}, "claude-x": {"input": 3, "output": 15}}},
    "bare prices": {"gpt-4o": {"input": 3, "output": 15}},
    "premium requests": {"type": "result", "usage": {"premiumRequests": 2, "totalApiDurationMs": 551}},
    "what a tool was asked": {
        "type": "tool_use",
        "id": "t",
        "input": {"usage": {"input_tokens": 5, "output_tokens": 6}},
    },
    "a schema": {"type": ["object"], "properties": {"usage": {"type": "object", "input_tokens": {"type": "integer"}}}},
    "settings": {"generationConfig": {"maxOutputTokens": 100}, "max_tokens": 64},
    "words": {"usage": "total_tokens=10", "tokens": "150 saved", "usage_metadata": None},
    "absurd": {"usage": {"input_tokens": -1, "output_tokens": 10**20}},
}


@pytest.mark.parametrize("obj", NONE.values(), ids=NONE)
def test_no_usage(obj):
    assert read(obj) == []


@pytest.mark.parametrize(
    ("key", "scope"),
    [("usage", "call"), ("message_delta", "call"), ("total_usage", "session"), ("", None), ("limit", None)],
)
def test_the_word_before(key, scope):
    assert [u.scope for u in read({"output_tokens": 98}, key=key)] == ([scope] if scope else [])


def test_split_by_model():
    (usage,) = read({"a-1": {"inputTokens": 1, "outputTokens": 2}, "b-2": {"inputTokens": 10, "outputTokens": 20}})
    assert (usage.input_tokens, usage.output_tokens, usage.scope, usage.model) == (11, 22, "session", None)
    assert {name: part["output_tokens"] for name, part in usage.models.items()} == {"a-1": 2, "b-2": 20}
