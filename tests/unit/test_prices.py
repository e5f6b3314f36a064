"""Costs: the tool's own, one's own prices, the built-in list, or none."""

import pytest

from agentmon.collect.prices import Pricer, load
from agentmon.errors import AgentmonError
from agentmon.events import ActivityLog, Finding, TokenUsage

NOW = 1_764_000_000.0  # November 2025


def usage(model, given=1_000, made=100, **more):
    return Finding(TokenUsage(model, given, made, given + made, **more))


def cost(finding, own=(), notices=None):
    return Pricer(own, None if notices is None else notices.append).price(finding, NOW).payload


@pytest.mark.parametrize(
    ("finding", "dollars"),
    [
        (usage("gpt-4o", 5332, 278, cache_read_tokens=512), 0.01547),
        (usage("gpt-4o"), 0.0035),
        (usage("openai/gpt-4o"), 0.0035),
        (usage("azure/gpt-4o"), 0.0035),
        (usage("claude-opus-4-5[1m]"), 0.0075),
        (usage("claude-sonnet-4-5", 1_000, 100, cache_read_tokens=500, cache_write_tokens=100), 0.003225),
        (usage("us.anthropic.claude-sonnet-4-20250514-v1:0"), 0.0045),
        (usage("gemini-2.5-flash", 1_000, 100, reasoning_tokens=40), 0.00055),
    ],
)
def test_built_in(finding, dollars):
    priced = cost(finding)
    assert (priced.cost_usd, priced.cost_source) == (pytest.approx(dollars), "prices")


def test_a_sum_of_many_calls_pays_no_surcharge_for_length():
    call, session = usage("gemini-2.5-pro", 400_000, 1_000), usage("gemini-2.5-pro", 400_000, 1_000, scope="session")
    assert cost(call).cost_usd == pytest.approx(2 * 0.5 + 0.015)
    assert cost(session).cost_usd == pytest.approx(0.5 + 0.01)


@pytest.mark.parametrize(
    "finding",
    [
        usage(None),
        usage("gpt-4o", 10, 5, cache_read_tokens=11),
        Finding(TokenUsage("gpt-4o", 10)),
        Finding(TokenUsage("gpt-4o", total_tokens=15)),
        Finding(TokenUsage("gpt-4o")),
        usage("ollama/llama3"),
        usage("no-such-model"),
    ],
)
def test_unknown_is_none(finding):
    assert (cost(finding).cost_usd, cost(finding).cost_source) == (None, None)


def test_one_notice_per_unknown_model():
    notices = []
    pricer = Pricer((), notices.append)
    for name in ("no-such-model", "no-such-model", "nor-this", "gpt-4o"):
        pricer.price(usage(name), NOW)
    assert [name for notice in notices for name in ("no-such-model", "nor-this") if name in notice] == [
        "no-such-model",
        "nor-this",
    ]


def test_no_time_stops_the_stream():
    assert Pricer().price(usage("gpt-4o"), 1e30).payload.cost_usd is None
    assert Pricer().price(usage("gpt-4o")).payload.cost_usd == pytest.approx(0.0035)


def test_the_tools_own_cost_stays():
    assert cost(usage("gpt-4o", cost_usd=7.0, cost_source="tool")).cost_usd == 7.0


def test_other_findings_pass():
    entry = Finding(ActivityLog("t", "info", "m", "llm", "stdout"))
    assert Pricer().price(entry) is entry


def parts(**costs):
    part = {"input_tokens": 1000, "output_tokens": 100, "cache_read_tokens": None, "cache_write_tokens": None}
    return {name.replace("_", "-"): {**part, "cost_usd": dollars} for name, dollars in costs.items()}


def test_split_by_model():
    both = cost(Finding(TokenUsage(None, 2000, 200, 2200, scope="session", models=parts(gpt_4o=None, other_1=0.5))))
    assert both.cost_usd == pytest.approx(0.5035)
    assert both.models["gpt-4o"]["cost_usd"] == pytest.approx(0.0035)
    part = cost(Finding(TokenUsage(None, 2000, 200, 2200, scope="session", models=parts(gpt_4o=None, nobodys_1=None))))
    assert (part.cost_usd, part.models["gpt-4o"]["cost_usd"]) == (None, pytest.approx(0.0035))


def write(tmp_path, text):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return str(path)


def test_own_prices_come_first(tmp_path):
    own = load(
        write(
            tmp_path,
            """
            [[price]]
            model = "GPT-4*"
            input = 1
            output = 2.5
            cache_read = 0.1

            [[price]]
            model = "*"
            input = 0
            output = 0
            """,
        )
    )
    assert cost(usage("gpt-4o", 1_000_000, 1_000_000, cache_read_tokens=500_000), own).cost_usd == pytest.approx(3.05)
    assert cost(usage("gpt-4o", 1_000_000, 0, cache_write_tokens=500_000), own).cost_usd == pytest.approx(1.0)
    assert cost(usage("mine"), own).cost_usd == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[[price]\n", "line 1"),
        ("", "no [[price]] table"),
        ("currency = 'EUR'\n[[price]]\nmodel='a'\ninput=1\noutput=1\n", "currency"),
        ("price = 3\n", "[[price]]"),
        ("[[price]]\ninput=1\noutput=1\n", "price 1: model"),
        ("[[price]]\nmodel='a'\ninput=1\n", "price 1 (a): output"),
        ("[[price]]\nmodel='a'\ninput=1\noutput=1\n[[price]]\nmodel='b'\ninput='1'\noutput=1\n", "price 2 (b): input"),
        ("[[price]]\nmodel='a'\ninput=-1\noutput=1\n", "price 1 (a): input"),
        ("[[price]]\nmodel='a'\ninput=nan\noutput=1\n", "price 1 (a): input"),
        ("[[price]]\nmodel='a'\ninput=1\noutput=1\ncached=1\n", "price 1: unknown key 'cached'"),
        ("price = [1]\n", "price 1: not a table"),
    ],
)
def test_a_bad_file_names_the_place(tmp_path, text, place):
    path = write(tmp_path, text)
    with pytest.raises(AgentmonError) as error:
        load(path)
    assert error.value.message.startswith(path)
    assert place in error.value.message


def test_no_file(tmp_path):
    with pytest.raises(AgentmonError, match="No such file"):
        load(str(tmp_path / "none.toml"))
