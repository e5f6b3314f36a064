"""Agents that export OpenTelemetry by themselves: how a command is known for one of them, and what switches it on.

Only what is not set is ever added. Only log events are asked for where an agent can leave the rest: they tell every
call, and every exporter less is one less to wait for at its end.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_ASSIGNMENT = r"[A-Za-z_][A-Za-z0-9_]*="  # compiled where it is needed: that takes longer than all else here
_DURATION = r"[0-9.]+[smhd]?"
_ENDINGS = (".exe", ".cmd", ".ps1")
_NAMES = {
    "claude": "claude-code", "claude-code": "claude-code", "gemini": "gemini-cli", "gemini-cli": "gemini-cli",
    "qwen": "qwen-code", "qwen-code": "qwen-code", "copilot": "copilot-cli", "codex": "codex",
}  # fmt: skip
_PACKAGES = {
    "@anthropic-ai/claude-code": "claude-code", "@google/gemini-cli": "gemini-cli", "@qwen-code/qwen-code": "qwen-code",
    "@github/copilot": "copilot-cli", "@openai/codex": "codex",
}  # fmt: skip
_WRAPPERS = frozenset({
    "env", "nice", "nohup", "time", "timeout", "stdbuf", "setsid", "ionice", "taskset", "caffeinate", "unbuffer",
    "exec", "command", "chrt", "firejail", "dotenv", "direnv", "catchsegv", "faketime",
})  # fmt: skip
_RUNNERS = {
    "npx": (), "bunx": (), "pnpx": (), "uvx": (), "pipx": ("run",), "pnpm": ("dlx", "exec"),
    "yarn": ("dlx", "exec", "run"), "npm": ("exec", "x", "run"), "bun": ("x", "run"), "uv": ("run", "tool"),
    "mise": ("exec", "x"), "volta": ("run",), "node": (), "nodejs": (), "deno": ("run",), "tsx": (), "gh": (),
    "python": (), "python3": (), "corepack": (),
}  # fmt: skip
_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "fish"})
_WITH_VALUE = frozenset({
    "-u", "-S", "-C", "-n", "-k", "-s", "-c", "-p", "--package", "--from", "--with", "-r", "--require", "--import",
    "--loader", "--unset", "--chdir", "--signal", "--kill-after", "--max-old-space-size", "--python", "-w", "--prefix",
    "--env-file",
})  # fmt: skip
_VALUE_OF = {
    "env": frozenset({"-u", "-C", "--unset", "--chdir"}), "nice": frozenset({"-n"}), "timeout": frozenset({"-k", "-s"}),
    "stdbuf": frozenset({"-i", "-o", "-e"}), "ionice": frozenset({"-c", "-n"}), "time": frozenset({"-f", "-o"}),
}  # fmt: skip


class Command(NamedTuple):
    """An agent's command. settings: what an `env` in front of it sets. direct: it is the command's own first word."""

    tool: str
    settings: Mapping[bytes, bytes]
    direct: bool


def agent_of(argv: Sequence[str]) -> Command | None:
    """The agent that a command starts: `claude`, /usr/bin/claude, `env A=b npx -y @google/gemini-cli@latest`,
    `node .../claude-code/cli.js`, `sh -c 'cd x && qwen -p y'`. None for anything else."""
    words, settings, runner, place = list(argv), {}, "", 0
    while place < len(words):
        word = words[place]
        name = os.path.basename(word.rstrip("/"))
        name = name[:-4] if name.endswith(_ENDINGS) else name
        if runner in ("", "env") and "=" in word and re.match(_ASSIGNMENT, word):
            key, _, value = word.partition("=")
            settings[os.fsencode(key)] = os.fsencode(value)
        elif word.startswith("-"):
            takes = _VALUE_OF.get(runner, _WITH_VALUE if runner in _RUNNERS else frozenset())
            place += word in takes
        elif (tool := _tool(word, name, runner)) is not None:
            return Command(tool, settings, direct=place == 0)
        elif name in _SHELLS:
            return _in_script(words[place + 1 :], settings)
        elif name in _WRAPPERS or name.rstrip("0123456789.") in _RUNNERS:
            runner = name if name in _RUNNERS or name in _WRAPPERS else name.rstrip("0123456789.")
        elif not (word in _RUNNERS.get(runner, ()) or (runner in _WRAPPERS and re.fullmatch(_DURATION, word))):
            return None
        place += 1
    return None


def _tool(word: str, name: str, runner: str) -> str | None:
    if name in _NAMES and (runner in _WRAPPERS or runner in _RUNNERS or not runner):
        return _NAMES[name]
    for package, tool in _PACKAGES.items():
        if package in word and re.search(rf"(\A|/){re.escape(package)}(@[^/]*)?(/|\Z)", word):
            return tool
    return None


def _in_script(words: Sequence[str], settings: Mapping[bytes, bytes]) -> Command | None:
    """`-c 'a && b'`: the first agent at the beginning of a simple command."""
    import shlex

    script = next((words[i + 1] for i, w in enumerate(words[:-1]) if re.fullmatch(r"-[a-z]*c", w)), None)
    if script is None:
        return None
    try:
        tokens = list(shlex.shlex(script, posix=True, punctuation_chars=True))
    except ValueError:
        return None
    start = 0
    for end in [*(i for i, token in enumerate(tokens) if set(token) <= set("();<>|&")), len(tokens)]:
        found = agent_of(tokens[start:end]) if start < end else None
        if found is not None:
            return Command(found.tool, {**settings, **found.settings}, direct=False)
        start = end + 1
    return None


# ---------------------------------------------------------------------- switches


def switches(tool: str, base: str, protocol: str = "http/json") -> dict[bytes, bytes]:
    """What makes this agent export to `base`. protocol: for those that can be told. Times are milliseconds.

    Claude Code 1.0 to 2.1.330: it flushes at its end, and waits for that at most as long as it is told here.
    """
    if tool == "claude-code":
        found = {
            "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
            "OTEL_LOGS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{base}/v1/logs",
            "OTEL_LOGS_EXPORT_INTERVAL": "1000",
            "CLAUDE_CODE_OTEL_FLUSH_TIMEOUT_MS": "1000",
            "CLAUDE_CODE_OTEL_SHUTDOWN_TIMEOUT_MS": "1000",
        }
    elif tool in ("gemini-cli", "qwen-code"):
        prefix = "GEMINI" if tool == "gemini-cli" else "QWEN"
        found = {
            f"{prefix}_TELEMETRY_ENABLED": "true",
            f"{prefix}_TELEMETRY_TARGET": "local",
            f"{prefix}_TELEMETRY_OTLP_ENDPOINT": base,
            f"{prefix}_TELEMETRY_OTLP_PROTOCOL": "http",
            f"{prefix}_TELEMETRY_LOG_PROMPTS": "false",
        }
    elif tool == "copilot-cli":
        found = {
            "COPILOT_OTEL_ENABLED": "true",
            "COPILOT_OTEL_EXPORTER_TYPE": "otlp-http",
            "OTEL_EXPORTER_OTLP_ENDPOINT": base,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
    else:
        found = {}
    return {os.fsencode(name): os.fsencode(value) for name, value in found.items()}


def arguments(tool: str, base: str) -> tuple[bytes, ...]:
    """Words for the command line of an agent that knows no environment for this (Codex 0.169)."""
    if tool != "codex":
        return ()
    exporter = f'otel.exporter={{otlp-http={{endpoint="{base}/v1/logs",protocol="json"}}}}'
    return (b"-c", os.fsencode(exporter), b"-c", b"otel.log_user_prompt=false")


TOOLS = ("claude-code", "gemini-cli", "qwen-code", "copilot-cli")
_ENDPOINTS = (
    b"OTEL_EXPORTER_OTLP_ENDPOINT", b"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", b"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    b"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)  # fmt: skip
_EXPORTERS = (b"OTEL_LOGS_EXPORTER", b"OTEL_METRICS_EXPORTER", b"OTEL_TRACES_EXPORTER")
_OUR_OWN = re.compile(rb"http://(127\.0\.0\.1|localhost):\d+/[0-9a-f]{32}(/|\Z)")
_OWN_CHOICE = {
    "claude-code": _EXPORTERS[:2],
    "gemini-cli": (b"GEMINI_TELEMETRY_ENABLED", b"GEMINI_TELEMETRY_OTLP_ENDPOINT", b"GEMINI_TELEMETRY_OUTFILE"),
    "qwen-code": (b"QWEN_TELEMETRY_ENABLED", b"QWEN_TELEMETRY_OTLP_ENDPOINT", b"QWEN_TELEMETRY_OUTFILE"),
    "copilot-cli": (b"COPILOT_OTEL_ENABLED", b"COPILOT_OTEL_ENDPOINT", b"COPILOT_OTEL_FILE_EXPORTER_PATH"),
}  # fmt: skip
# Settings files in which a user may have chosen an export; they rank below the environment, or beside it.
_FILES = {
    "claude-code": ("~/.claude/settings.json", ".claude/settings.json", ".claude/settings.local.json",
                    "/etc/claude-code/managed-settings.json"),
    "gemini-cli": ("~/.gemini/settings.json", ".gemini/settings.json", "/etc/gemini-cli/settings.json"),
    "qwen-code": ("~/.qwen/settings.json", ".qwen/settings.json", "/etc/qwen-code/settings.json"),
    "codex": ("~/.codex/config.toml", ".codex/config.toml", "/etc/codex/config.toml"),
}  # fmt: skip
_WORDS = {
    "claude-code": re.compile(rb"\"(OTEL_|CLAUDE_CODE_ENABLE_TELEMETRY)"),
    "gemini-cli": re.compile(rb"\"telemetry\""),
    "qwen-code": re.compile(rb"\"telemetry\""),
    "codex": re.compile(rb"(?m)^\s*\[?otel\b"),
}
_HOMES = {"claude-code": (b"CLAUDE_CONFIG_DIR", "settings.json"), "codex": (b"CODEX_HOME", "config.toml")}


_PROXIES = (b"HTTP_PROXY", b"http_proxy", b"ALL_PROXY", b"all_proxy")
PASSES_PROXIES = frozenset({"claude-code", "gemini-cli", "qwen-code"})  # whose exporters know no proxy


def host(environment: Mapping[bytes, bytes]) -> str | None:
    """By which name exporters reach this machine without a proxy; None where a proxy stands before all its names."""
    if not any(environment.get(name) for name in _PROXIES):
        return "127.0.0.1"
    exempt = environment.get(b"NO_PROXY", b"") + b"," + environment.get(b"no_proxy", b"")
    names = {name.strip() for name in exempt.split(b",")}
    if names & {b"*", b"127.0.0.1", b"127.0.0.0/8"}:
        return "127.0.0.1"
    return "localhost" if b"localhost" in names else None


def general_export(environment: Mapping[bytes, bytes]) -> str | None:
    """What to tell a user who exports by OpenTelemetry's own variables already; None for others."""
    for name in _ENDPOINTS:
        if _OUR_OWN.match(environment.get(name, b"")):
            return "OpenTelemetry goes to the agentmon run around this one"
        if environment.get(name):
            return f"{os.fsdecode(name)} is set: OpenTelemetry goes there, not to agentmon"
    for name in _EXPORTERS:  # to the default port, where a collector of theirs listens
        if b"otlp" in environment.get(name, b""):
            return f"{os.fsdecode(name)} is set: OpenTelemetry goes to a collector already, not to agentmon"
    return None


def own_choice(tool: str, environment: Mapping[bytes, bytes], argv: Sequence[str] = ()) -> str | None:
    """What shows that the user has decided about this agent's export: a variable, an option, a settings file."""
    for name in _OWN_CHOICE.get(tool, ()):
        if name in environment:
            return os.fsdecode(name)
    # Claude Code hands this one on to what it starts, without the others: alone it is no choice.
    if tool == "claude-code" and environment.get(b"CLAUDE_CODE_ENABLE_TELEMETRY", b"1").lower() not in (b"1", b"true"):
        return "CLAUDE_CODE_ENABLE_TELEMETRY"
    option = next((word for word in argv if word.startswith(("otel.", "--telemetry"))), None)
    if option is not None:
        return option.partition("=")[0]
    home = os.fsdecode(environment.get(b"HOME", b""))
    paths = [path.replace("~", home, 1) if path[0] == "~" else path for path in _FILES.get(tool, ())]
    if tool in _HOMES and environment.get(_HOMES[tool][0]):
        paths[0] = os.path.join(os.fsdecode(environment[_HOMES[tool][0]]), _HOMES[tool][1])
    for path in paths:
        try:
            with open(path, "rb") as file:
                if _WORDS[tool].search(file.read(1 << 20)):
                    return path
        except OSError:
            continue
    return None
