"""Tool results in agents' records: which shell command ran, what it printed, and how it ended.

By shape, whatever the agent: a call is an object with an id and a command among its arguments, a result is an object
with such an id and an output. Both may be one object. Seen in: Claude Code 1.0 to 2.1, Codex 0.169, Copilot CLI 1.0,
Gemini CLI 0.61, opencode 1.18, pi 0.73, Qwen Code 0.15, OpenAI's chat and responses, Anthropic's messages.
"""

import re
import shlex
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from agentmon.collect.parsers.usage_shapes import MOST_KEYS, plain

KEPT = 2048
DEEPEST = 24
MOST_NODES = 50_000
_WRAPPINGS = 4
_ARGUMENTS = ("input", "arguments", "args", "parameters", "rawinput", "toolinput", "tool_input", "action")
_COMMANDS = ("command", "cmd", "commandline", "script", "shellcommand", "commands")
_CALL_IDS = ("tooluseid", "toolcallid", "callid", "toolid", "id")
_RESULT_IDS = ("tooluseid", "toolcallid", "callid", "toolid")
_OUTPUTS = ("aggregatedoutput", "output", "content", "result", "stdout", "response", "toolresult", "observation")
_NOT_RUN = frozenset({"in_progress", "pending", "running", "started", "declined", "cancelled", "canceled", "denied"})
_FAILED = frozenset({"error", "failed", "failure"})
_WORKED = frozenset({"success", "completed", "ok", "succeeded"})
_NAMES = ("toolname", "name", "tool")
_SHELL = re.compile(r"(?:/\S*/)?(?:ba|z|da|k)?sh -l?c ")
_EXIT_KEYS = ("exitcode", "exit", "returncode", "exitstatus", "statuscode")
_EXIT_TEXT = re.compile(
    r"(?:^|\n)(?:Exit Code|Exit code|exit code|exit_code|(?:Command|Process) exited with code)[:=]? (\d{1,3})\b"
)
# Gemini's shell tool counts as a success whenever the command could be started, and prints the code only if silent.
_STATUS_IS_NO_EXIT_CODE = frozenset({"runshellcommand"})


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended, as an agent tells it. exit_code None: not known. agent: the sub-agent's tool call."""

    command: str | None
    output: str
    exit_code: int | None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    command: str
    name: str
    parent: str | None


class ToolResults:
    """Pairs calls with their results. Each result counts once, however often it is repeated."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()

    @property
    def waiting(self) -> bool:
        """Whether a command was called whose result has not come."""
        return bool(self._calls)

    def feed(self, record: object) -> Iterator[Ran]:
        """What ran to its end, according to this record."""
        stack: list[tuple[object, str | None, int]] = [(record, None, 0)]
        nodes = 0
        while stack:
            value, parent, depth = stack.pop()
            nodes += 1
            if nodes > MOST_NODES:
                return
            if isinstance(value, dict):
                parent = _text(value.get("parent_tool_use_id")) or parent
                if _known_ids(tuple(value)) if len(value) <= MOST_KEYS else _has_id(tuple(value)):
                    ran = self._look(value, parent)
                    if ran is not None:
                        yield ran
                children: Iterable[object] = value.values()
            elif isinstance(value, list):
                children = value
            else:
                continue
            if depth < DEEPEST:
                stack.extend((c, parent, depth + 1) for c in reversed(list(children)) if isinstance(c, (dict, list)))

    def _look(self, obj: Mapping[str, Any], parent: str | None) -> Ran | None:
        named: Mapping[str, Any] = {plain(k): v for k, v in obj.items()}
        call_id = next((v for k in _CALL_IDS if (v := _text(named.get(k)))), None)
        if call_id is None:
            return None
        explicit = any(k in named for k in _RESULT_IDS)
        if explicit:  # arguments and result may be further in: opencode's `state`, Cursor's `shellToolCall`
            named = _opened(named)
        command = _command(named)
        if command is not None:
            name = next((plain(n) for k in _NAMES if (n := _text(named.get(k)))), "")
            self._remember(call_id, _Call(_script(command), name, parent))
        elif not explicit:
            return None
        if _word(named) in _NOT_RUN or (command is not None and not _has_ended(named)):
            return None
        output = _output(named)
        if output is None or call_id in self._done:
            return None
        call = self._calls.pop(call_id, None)
        self._done[call_id] = None
        if len(self._done) > KEPT:
            self._done.popitem(last=False)
        if call is None:
            return None  # what ran is not known: a file read, a search; its text is no git output
        return Ran(call.command, _unwrapped(output), _exit_code(named, output, call.name), call.parent or parent)

    def _remember(self, call_id: str, call: _Call) -> None:
        if call_id in self._done:
            return
        self._calls[call_id] = call
        if len(self._calls) > KEPT:
            self._calls.popitem(last=False)


def _has_id(keys: tuple[str, ...]) -> bool:
    return any(plain(key) in _CALL_IDS for key in keys)


_known_ids = lru_cache(maxsize=1024)(_has_id)


def _opened(named: Mapping[str, Any]) -> Mapping[str, Any]:
    """With what stands in objects that only wrap a call or its result. What is further out counts."""
    merged = dict(named)
    level: list[Mapping[str, Any]] = [v for k, v in named.items() if isinstance(v, dict) and k not in _ARGUMENTS]
    for _ in range(_WRAPPINGS):
        inner: list[Mapping[str, Any]] = []
        for wrapped in level[:8]:
            for key, value in wrapped.items():
                name = plain(key)
                merged.setdefault(name, value)
                if isinstance(value, dict) and name not in _ARGUMENTS:
                    inner.append(value)
        level = inner
    return merged


def _script(command: str) -> str:
    """`/bin/bash -lc 'SCRIPT'` is SCRIPT."""
    if not _SHELL.match(command) or len(command) > 20_000:
        return command
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return words[2] if len(words) == 3 else command


def _word(named: Mapping[str, Any]) -> str:
    """How a record says that the call stands."""
    for key in ("status", "subtype", "phase"):
        if isinstance(value := named.get(key), str):
            return value.lower()
    return ""


def _command(named: Mapping[str, Any]) -> str | None:
    """The shell command that an object calls for."""
    function = named.get("function")
    if isinstance(function, dict):
        named = {**named, **{plain(k): v for k, v in function.items()}}
    for holder in (named, *(named.get(k) for k in _ARGUMENTS)):
        if isinstance(holder, str) and holder.startswith("{") and len(holder) < 200_000:
            try:
                holder = orjson.loads(holder)
            except (orjson.JSONDecodeError, UnicodeEncodeError):
                continue
        if not isinstance(holder, dict):
            continue
        for key, value in holder.items():
            if plain(key) in _COMMANDS:
                if isinstance(value, str) and value:
                    return value
                if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
                    return _joined(value)
    return None


def _joined(words: Sequence[str]) -> str:
    """`bash -lc SCRIPT` given as a list is SCRIPT."""
    if len(words) == 3 and words[1].startswith("-") and words[1].endswith("c"):
        return words[2]
    return " ".join(words)


def _has_ended(named: Mapping[str, Any]) -> bool:
    """Whether a record that holds the call itself also tells its end."""
    return _word(named) in _WORKED | _FAILED or any(isinstance(named.get(k), int) for k in _EXIT_KEYS)


def _output(named: Mapping[str, Any]) -> str | None:
    for key in _OUTPUTS:
        if key in named:
            text = _flat(named[key], 0)
            if text is not None:
                if key == "stdout":
                    text += _text(named.get("stderr")) or ""
                return text
    if _word(named) in _WORKED | _FAILED:
        return ""  # Gemini CLI leaves an empty output out
    return None


def _flat(value: Any, depth: int) -> str | None:
    """The text of an output: a string, blocks of text, or an object that holds either."""
    if isinstance(value, str):
        if value.startswith('{"output"') and len(value) < 1_000_000:
            try:
                return _flat(orjson.loads(value), depth + 1)
            except (orjson.JSONDecodeError, UnicodeEncodeError):
                return value
        return value
    if depth > 3:
        return None
    if isinstance(value, list):
        texts = [text for item in value[:200] if (text := _flat(item, depth + 1)) is not None]
        return "\n".join(texts) if texts or not value else None
    if isinstance(value, dict):
        for key in ("text", "output", "content", "stdout", "llmContent", "response", "result"):
            if key in value and (text := _flat(value[key], depth + 1)) is not None:
                return text + (_text(value.get("stderr")) or "") if key == "stdout" else text
    return None


_WRAPPED = re.compile(r"(?:Exit code|Chunk ID|Wall time)\b[^\n]*\n(?:[^\n]*\n){0,6}?Output:\n")  # Codex's shell tool
_LEADER = re.compile(r"\A(?:Exit code \d+\n|\(Bash completed with no output\)\Z)")  # Claude Code 2.1
_TRAILER = re.compile(  # Copilot CLI 1.0, pi 0.73
    r"\n*(?:<shellId: \w{1,20} completed with exit code \d{1,3}>|Command exited with code \d{1,3})\s*\Z"
)
_PARTS = re.compile(
    r"(?:^|\n)Output: (.*?)(?=\n(?:Error|Exit Code|Signal|Background PIDs|Process Group PGID): |\Z)", re.DOTALL
)


def _unwrapped(output: str) -> str:
    """What the command itself printed: Gemini's and Qwen's shell tools put it into a form."""
    if output.startswith(("Command: ", "Output: ")) and (match := _PARTS.search(output)):
        text = match[1]
        return "" if text == "(empty)" else text
    if match := _WRAPPED.match(output):
        return output[match.end() :]
    return _TRAILER.sub("", _LEADER.sub("", output))


def _exit_code(named: Mapping[str, Any], output: str, name: str) -> int | None:
    for key in _EXIT_KEYS:
        value = named.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    matches = _EXIT_TEXT.findall(output[-4096:]) or _EXIT_TEXT.findall(output[:256])
    if matches:
        return int(matches[-1])
    flag = named.get("iserror")
    success = named.get("success")
    word = _word(named)
    if flag is True or success is False or word in _FAILED:
        return 1
    if name in _STATUS_IS_NO_EXIT_CODE:
        return None
    return 0 if flag is False or success is True or word in _WORKED else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
