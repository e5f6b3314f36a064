"""Who acts: lines in, the agent of each out."""

import pytest

from agentmon.collect.parsers import Line
from agentmon.collect.parsers.agents import Agents
from agentmon.collect.parsers.tokens import Tokens
from agentmon.collect.pipeline import Pipeline
from agentmon.collect.plain import Plain
from agentmon.collect.recorder import Recorder
from agentmon.ndjson import decode


def box(text: str) -> str:
    return f"│  {text:<76}│"


def title(text: str) -> str:
    return "╭" + f" {text} ".center(78, "─") + "╮"


def agents_of(text: str) -> list[str | None]:
    reader = Agents()
    return [reader.feed(Line("stdout", line, 0.0)) for line in text.split("\n")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (box("Agent: Tech Lead") + "\nCreating branch: x", ["Tech Lead", "Tech Lead"]),
        (box("Agent: A") + "\n" + title("📋 Task Started"), ["A", None]),
        (box("Agent: A") + "\n" + title("Crew Completion") + "\ndone", ["A", None, None]),
        ("# Agent: Senior Researcher\nx", ["Senior Researcher", "Senior Researcher"]),
        ("└── 🤖 Agent: Tech Lead", ["Tech Lead"]),
        ("🤖 Agent: ResearchAgent", ["ResearchAgent"]),
        (" [2024-01-01 10:00:00][DEBUG]: == Working Agent: Researcher", ["Researcher"]),
        ("---------- assistant ----------\nhi", ["assistant", "assistant"]),
        ("---------- TextMessage (writer) ----------", ["writer"]),
        ("---------- a ----------\n---------- user ----------\n---------- b ----------\n---------- Summary ----------",
         ["a", None, "b", None]),
        ("assistant (to user_proxy):\n\nhello", ["assistant"] * 3),
        ("Next speaker: coder", ["coder"]),
        ("Running agent root_agent, type exit to exit.\n[user]: hi\n[root_agent]: hello\n[helper]: yes",
         ["root_agent", None, "root_agent", "helper"]),
        ("[user]: hi\n[weather]: Sunny.\n[user]: [weather]: Cloudy.", [None, "weather", "weather"]),
        ("User > hi\nweather_agent > Sunny.", [None, "weather_agent"]),
        ("DEBUG:openai.agents:Running agent Coder (turn 1)\nCalling LLM", ["Coder", "Coder"]),
        ('- Last agent: Agent(name="Coder", ...)\n- more', ["Coder", None]),
        (title("Agent Name Researcher [Max Loops: 1]"), ["Researcher"]),
        (title("Agent Name Researcher [Loop: 1/1]"), ["Researcher"]),
        (title("Researcher Response"), ["Researcher"]),
        (title("New run - web_agent"), ["web_agent"]),
        ("[weather_agent]: Sunny.", ["weather_agent"]),
        ("content=None author='root_agent' id='x'\nnext", ["root_agent", None]),
        ("TextMessage(source='writer', models_usage=RequestUsage(prompt_tokens=1, completion_tokens=2))", ["writer"]),
        ("# AuthorRole.ASSISTANT - ArtDirector: 'fine'", ["ArtDirector"]),
        ("2024 | INFO | metagpt.roles.role:_act:403 - Alice(Product Manager): to do Write", ["Alice(Product Manager)"]),
    ],
)  # fmt: skip
def test_marks(text: str, expected: list[str | None]) -> None:
    assert agents_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The Agent: Tech Lead will do it", "[INFO]: started", "[main]: x", "a > b", "---- x ----", "x (to y): z",
        "Agent: unknown", title("🚀 Crew Execution Started"), title("New run"), "│ Response │",
    ],
)  # fmt: skip
def test_what_names_nobody(text: str) -> None:
    assert agents_of(text) == [None]


def test_streams_are_apart() -> None:
    reader = Agents()
    reader.feed(Line("stdout", "---------- a ----------", 0.0))
    assert reader.current("stdout") == "a"
    assert reader.current("stderr") is None


def test_everything_carries_the_agent() -> None:
    text = "\n".join(
        ["before", "---------- a ----------", "plain", "ERROR bad", "[Prompt tokens: 1, Completion tokens: 2]",
         "---------- Summary ----------", "after", ""]
    )  # fmt: skip
    pipeline, recorder = Pipeline([Tokens()]), Recorder("r", "own", "t")
    items = [*pipeline.feed("stdout", text.encode(), 0.0), *pipeline.close(0.0)]
    assert any(isinstance(item, Plain) and item.agent == "a" for item in items)
    lines = b"".join(piece.data for piece in recorder.record(items, 0.0)).splitlines()
    seen = [(e.agent_id, getattr(e.payload, "message", e.payload.event)) for e in map(decode, lines)]
    assert seen == [
        ("own", "before"), ("a", "---------- a ----------"), ("a", "plain"), ("a", "ERROR bad"),
        ("a", "[Prompt tokens: 1, Completion tokens: 2]"), ("a", "llm_call"), ("own", "---------- Summary ----------"),
        ("own", "after"),
    ]  # fmt: skip
