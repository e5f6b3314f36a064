"""Which commands are agents, and what their environment gets."""

import os
import shlex
from pathlib import Path

import pytest

from agentmon.collect.intake.otlp import prepare
from agentmon.collect.intake.otlp_agents import agent_of, host

AGENTS = [
    ("claude -p x", "claude-code"),
    ("/usr/local/bin/claude", "claude-code"),
    ("env A=b -u C claude", "claude-code"),
    ("env -u FOO X=1 npx -y @google/gemini-cli@latest -p x", "gemini-cli"),
    ("npx @anthropic-ai/claude-code@2.1.330", "claude-code"),
    ("npx -p @google/gemini-cli gemini -p x", "gemini-cli"),
    ("npx --yes --package=@openai/codex codex exec", "codex"),
    ("npm exec -- @openai/codex exec x", "codex"),
    ("bunx @qwen-code/qwen-code", "qwen-code"),
    ("pnpm dlx @github/copilot", "copilot-cli"),
    ("node /opt/x/node_modules/@anthropic-ai/claude-code/cli.js -p", "claude-code"),
    ("node --max-old-space-size=4096 /a/@qwen-code/qwen-code/cli.js", "qwen-code"),
    ("timeout -k 5 60s nice -n 5 codex exec", "codex"),
    ("sh -c 'cd /x && qwen -p y'", "qwen-code"),
    ("bash -lc 'FOO=1 claude -p hi | tee log'", "claude-code"),
    ("gh copilot", "copilot-cli"),
    ("echo claude", None),
    ("git commit -m claude", None),
    ("python crew.py claude", None),
    ("node app.js gemini", None),
    ("sh -c 'echo codex'", None),
    ("sh -c 'unbalanced \" claude'", None),
    ("sh script.sh", None),
    ("env", None),
    ("make claude", None),
]


@pytest.mark.parametrize(("line", "tool"), AGENTS)
def test_agent_of(line: str, tool: str | None) -> None:
    found = agent_of(shlex.split(line) if "unbalanced" not in line else ["sh", "-c", 'unbalanced " claude'])
    assert (found.tool if found else None) == tool


def test_settings_of_env() -> None:
    found = agent_of(["env", "OTEL_EXPORTER_OTLP_ENDPOINT=http://x:4318", "claude"])
    assert found is not None
    assert found.settings == {b"OTEL_EXPORTER_OTLP_ENDPOINT": b"http://x:4318"}


def names(argv: str, tmp_path: Path, asked: bool = False, **env: str) -> tuple[set[str], tuple[str, ...], int]:
    """Names that are added, the notices, and how many words."""
    environment = {b"HOME": os.fsencode(tmp_path), **{os.fsencode(k): os.fsencode(v) for k, v in env.items()}}
    found = prepare(str(tmp_path), environment, argv.split(), asked)
    if found is None:
        return set(), (), 0
    for fd in found.descriptors:
        os.close(fd)
    assert bool(found.descriptors) == bool(found.environment or found.arguments)
    assert not found.environment.keys() & environment.keys()
    return {os.fsdecode(name) for name in found.environment}, found.notices, len(found.arguments)


def test_only_what_the_command_needs(tmp_path: Path) -> None:
    added, notices, words = names("claude -p x", tmp_path)
    assert {"CLAUDE_CODE_ENABLE_TELEMETRY", "OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"} <= added
    assert all(name.startswith(("CLAUDE_CODE_", "OTEL_LOGS_", "OTEL_EXPORTER_OTLP_LOGS_")) for name in added)
    assert (notices, words) == ((), 0)
    assert all(name.startswith("GEMINI_TELEMETRY_") for name in names("npx @google/gemini-cli", tmp_path)[0])
    assert all(name.startswith("QWEN_TELEMETRY_") for name in names("qwen", tmp_path)[0])
    assert {"COPILOT_OTEL_ENABLED", "OTEL_EXPORTER_OTLP_ENDPOINT"} <= names("copilot", tmp_path)[0]
    assert names("python crew.py", tmp_path) == (set(), (), 0)
    assert names("codex exec x", tmp_path) == (set(), (), 0)


def test_asked_for_the_tree(tmp_path: Path) -> None:
    added, _, words = names("python crew.py", tmp_path, asked=True)
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "CLAUDE_CODE_ENABLE_TELEMETRY", "QWEN_TELEMETRY_ENABLED"} <= added
    assert words == 0
    assert names("codex exec x", tmp_path, asked=True)[2] == 4
    assert names("npx @openai/codex", tmp_path, asked=True)[2] == 0  # npx would take the words for its own


@pytest.mark.parametrize("asked", [False, True])
def test_own_collector_is_left_alone(tmp_path: Path, asked: bool) -> None:
    added, notices, words = names("claude -p x", tmp_path, asked, OTEL_EXPORTER_OTLP_ENDPOINT="http://x:4318")
    assert (added, words) == (set(), 0)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in notices[0]
    added, notices, _ = names("env OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://x claude", tmp_path, asked)
    assert (added, len(notices)) == (set(), 1)


def test_a_collector_at_the_default_port(tmp_path: Path) -> None:
    added, notices, _ = names("crew", tmp_path, asked=True, OTEL_METRICS_EXPORTER="otlp,console")
    assert added == set()
    assert "OTEL_METRICS_EXPORTER is set" in notices[0]


@pytest.mark.parametrize(
    ("proxy", "found"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "localhost"}, "127.0.0.1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a, 127.0.0.1"}, "127.0.0.1"),
        ({"http_proxy": "http://p:1", "no_proxy": "localhost,b"}, "localhost"),
        ({"ALL_PROXY": "socks5://p:1"}, None),
    ],
)
def test_proxies(tmp_path: Path, proxy: dict[str, str], found: str | None) -> None:
    """A proxy would get what is meant for us; Claude Code and Gemini CLI do not use it for their export."""
    assert host({os.fsencode(k): os.fsencode(v) for k, v in proxy.items()}) == found
    assert names("claude", tmp_path, **proxy)[0]
    added, notices, _ = names("copilot", tmp_path, **proxy)
    assert bool(added) == (found is not None)
    assert bool(notices) == (found is None)


def test_a_run_in_a_run(tmp_path: Path) -> None:
    outer = "http://127.0.0.1:4711/" + "a" * 32 + "/v1/logs"
    added, notices, _ = names("claude", tmp_path, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=outer)
    assert (added, notices) == (set(), ("OpenTelemetry goes to the agentmon run around this one",))
    assert "OTEL_LOGS_EXPORTER" in names("claude", tmp_path, CLAUDE_CODE_ENABLE_TELEMETRY="1")[0]  # below a Claude Code


def test_own_choice_is_left_alone(tmp_path: Path) -> None:
    added, notices, _ = names("claude", tmp_path, CLAUDE_CODE_ENABLE_TELEMETRY="0")
    assert added == set()
    assert "CLAUDE_CODE_ENABLE_TELEMETRY" in notices[0]
    assert names("claude", tmp_path, OTEL_SDK_DISABLED="true") == (set(), (), 0)
    assert names("gemini", tmp_path, GEMINI_TELEMETRY_OUTFILE="/x")[0] == set()
    assert names("qwen --telemetry-outfile /x", tmp_path)[0] == set()
    assert names("codex -c otel.exporter=none exec", tmp_path, asked=True)[2] == 0
    for agent, path, text in (
        ("claude", ".claude/settings.json", '{"env": {"OTEL_METRICS_EXPORTER": "otlp"}}'),
        ("qwen", ".qwen/settings.json", '{"telemetry": {"enabled": true}}'),
        ("codex", ".codex/config.toml", 'model = "x"\n[otel]\nexporter = "none"\n'),
    ):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
        added, notices, words = names(agent, tmp_path, asked=agent == "codex")
        assert words == 0
        assert added == set()
        assert path in notices[0]


def test_other_settings_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude/settings.json").write_text('{"env": {"FOO": "1"}}')
    assert names("claude", tmp_path)[0]


def test_a_setting_is_never_set_again(tmp_path: Path) -> None:
    assert "OTEL_LOGS_EXPORT_INTERVAL" not in names("claude", tmp_path, OTEL_LOGS_EXPORT_INTERVAL="99")[0]
