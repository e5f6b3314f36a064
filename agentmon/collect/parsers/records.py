"""Records: what agents print as JSON. Usage, commands that ran, and who acts."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from agentmon.collect.parsers import Line
from agentmon.collect.parsers.documents import NEEDLES, Document, Documents
from agentmon.collect.parsers.tool_results import ToolResults
from agentmon.collect.parsers.usage_objects import find, usage
from agentmon.collect.parsers.usage_shapes import Counts, counts
from agentmon.collect.parsers.usage_walk import Found
from agentmon.events import Finding, Stream, TokenUsage

KEPT = 2048
_COUNTED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd")
# What only one tool prints: (key, value or None for any, the tool). The first hit names the tool of its session.
_SIGNS: tuple[tuple[str, str | None, str], ...] = (
    ("claude_code_version", None, "claude-code"),  # 2.1.197; 1.0.120 has only the result's modelUsage
    ("modelUsage", None, "claude-code"),
    ("qwen_code_version", None, "qwen-code"),  # 0.15.10
    ("thread_id", None, "codex"),  # 0.169.0
    ("sessionID", None, "opencode"),  # 1.18.33
    ("type", "session", "pi"),  # 0.73.1
    ("type", "session.start", "copilot-cli"),  # 1.0.102
    ("type", "session.tools_updated", "copilot-cli"),
    ("type", "init", "gemini-cli"),  # 0.61.0
    ("stats", None, "gemini-cli"),
)
_SESSION_UNSAID = frozenset({"codex", "copilot-cli", "pi"})  # their records do not repeat whose they are
_COST_IS_NO_MONEY = frozenset({"copilot-cli"})  # 1.0.102: `cost` counts premium requests
_SESSIONS = ("session_id", "sessionId", "sessionID", "thread_id", "threadId")
_TELLING = frozenset({*_SESSIONS, *(key for key, _, _ in _SIGNS)})  # keys by which a record tells who speaks
# A record without any of these words is not walked: most of a log is text that the words are quickly not found in.
_USAGE_WORDS = ("oken", "usage", "Usage", "eval_count", "cost")
_CALL_WORDS = ("command", "cmd", "script")
_RESULT_WORDS = ("tool", "call_id", "callID", "callId")


class GitReader(Protocol):
    """Who reads the output of a command for what git did."""

    def command(self, command: str | None, output: str, exit_code: int | None) -> list[Finding]: ...


@dataclass(slots=True)
class _Speaker:
    """The agent that writes records to one stream: a run may hold several, one stream shows one at a time."""

    tool: str | None = None
    session_id: str | None = None
    messages: dict[tuple[str | None, str | None], str] = field(default_factory=dict)
    unnamed: int = 0


class Records:
    """JSON in the output. Everything is read by its shape; the few names of tools only label what was found."""

    needles: tuple[str, ...] = NEEDLES

    def __init__(self, git: GitReader) -> None:
        self._git = git
        self._documents = Documents()
        self._tools = ToolResults()
        self._speakers: dict[Stream, _Speaker] = {}
        self._told: OrderedDict[tuple[str | None, str], TokenUsage] = OrderedDict()
        self._agents: OrderedDict[str, str] = OrderedDict()
        self._totals: OrderedDict[str, tuple[TokenUsage | None, TokenUsage | None]] = OrderedDict()

    @property
    def attentive(self) -> bool:
        """Whether a document goes on in the next line."""
        return self._documents.attentive

    def feed(self, line: Line) -> Iterable[Finding]:
        """What the documents show that this line holds or completes."""
        found: list[Finding] = []
        for document in self._documents.feed(line):
            found += self._read(document, line.stream)
        return found

    def close(self) -> Iterable[Finding]:
        """What stood alone in a document that never ended."""
        for document in self._documents.close():
            yield from self._read(document, "stdout")

    def _read(self, document: Document, stream: Stream) -> list[Finding]:
        speaker = self._speakers.get(stream)
        if speaker is None:
            speaker = self._speakers[stream] = _Speaker()
        text = document.text
        usage_words = _holds(text, _USAGE_WORDS)
        tool_words = _holds(text, _CALL_WORDS) or (self._tools.waiting and _holds(text, _RESULT_WORDS))
        agent_words = "subagent_type" in text or "agent_name" in text
        if isinstance(document.value, list):
            records: list[Any] = [item for item in document.value if isinstance(item, dict)]
        else:
            records = [document.value]
        found: list[Finding] = []
        for record in records:
            self._meet(record, speaker)
            if agent_words:
                self._name_agents(record)
            if tool_words:
                found += self._commands(record)
            if usage_words:
                found += self._usage(record, document.before, speaker)
        return found

    def _meet(self, record: Mapping[str, Any], speaker: _Speaker) -> None:
        """Learn who speaks."""
        if _TELLING.isdisjoint(record):
            return
        session = next((record[k] for k in _SESSIONS if isinstance(record.get(k), str)), None)
        if session is None and record.get("type") == "session" and isinstance(record.get("id"), str):
            session = record["id"]
        if session is not None and session != speaker.session_id:
            speaker.session_id, speaker.tool = session, None
        if speaker.tool is None:
            for key, value, tool in _SIGNS:
                if key in record and (value is None or record[key] == value):
                    speaker.tool = tool
                    return

    def _commands(self, record: Mapping[str, Any]) -> Iterator[Finding]:
        for ran in self._tools.feed(record):
            agent = self._agents.get(ran.parent) if ran.parent else None
            for finding in self._git.command(ran.command, ran.output, ran.exit_code):
                yield replace(finding, agent=agent) if agent and finding.agent is None else finding

    def _name_agents(self, record: Mapping[str, Any]) -> None:
        """Remember which tool call starts which sub-agent.

        Claude Code and Qwen Code name it in the call's input, Claude Code 2.1 also in `task_started` and the like.
        """
        message = record.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        told = [(record.get("tool_use_id") or record.get("parent_tool_use_id"), record)]
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and isinstance(block.get("input"), dict):
                told.append((block.get("id"), block["input"]))
        for call_id, names in told:
            name = names.get("subagent_type") or names.get("agent_name")
            if isinstance(call_id, str) and isinstance(name, str) and 0 < len(name) <= 64:
                self._agents[call_id] = name
                if len(self._agents) > KEPT:
                    self._agents.popitem(last=False)

    def _usage(self, record: Mapping[str, Any], before: str, speaker: _Speaker) -> Iterator[Finding]:
        kind = self._stream_event(record, before, speaker)
        for shown in find(record, before):
            place = shown.place
            found = self._of_message(shown, kind, speaker) if place.partial or kind else shown
            if found is None:
                continue
            tool = session_id = None
            if place.session_id is not None:
                tool = speaker.tool if place.session_id == speaker.session_id else None
            elif speaker.tool in _SESSION_UNSAID and isinstance(record.get("type"), str):
                tool, session_id = speaker.tool, speaker.session_id
            if tool in _COST_IS_NO_MONEY:
                found = replace(found, counts=replace(found.counts, cost=None))
            payload = usage(found, tool=tool, session_id=session_id)
            agent = self._agents.get(place.parent, "subagent") if place.parent else place.agent
            told = self._total(payload, record) if payload.scope == "session" else self._call(payload)
            if told is not None:
                yield Finding(told, agent)

    @staticmethod
    def _stream_event(record: Mapping[str, Any], before: str, speaker: _Speaker) -> str | None:
        """`message_start` or `message_delta`, if the record is such an event of Anthropic's stream."""
        event = record.get("event")
        if not isinstance(event, dict):
            event = record
        kind = event.get("type") if isinstance(event.get("type"), str) else before
        if kind not in ("message_start", "message_delta"):
            return None
        message = event.get("message")
        named = message.get("id") if isinstance(message, dict) else None
        if kind == "message_start" and not (isinstance(message, dict) and named is None):
            if not isinstance(named, str):
                speaker.unnamed += 1
                named = f"message-{speaker.unnamed}"
            speaker.messages[_key(record)] = named
            if len(speaker.messages) > KEPT:
                speaker.messages.clear()
        return kind

    @staticmethod
    def _of_message(found: Found, kind: str | None, speaker: _Speaker) -> Found | None:
        """Usage of a message that is not complete: it counts if its message is known by name."""
        place = found.place
        if kind == "message_start":
            found = replace(found, counts=replace(found.counts, output=None, total=None))  # a placeholder
        if place.call_id is not None and not place.call_id.startswith("at-"):
            return found
        named = speaker.messages.get((place.session_id, place.parent)) if kind else None
        return replace(found, place=replace(place, call_id=named)) if named else None

    def _call(self, payload: TokenUsage) -> TokenUsage | None:
        """The call with all that is known of it by now; None if that is nothing new."""
        if payload.call_id is None:
            return payload
        key = (payload.session_id, payload.call_id)
        before = self._told.get(key)
        if before is not None:
            merged = {}
            for name in (*_COUNTED, "model"):
                old, new = getattr(before, name), getattr(payload, name)
                if new is not None and (old is None or (name != "model" and new > old)):
                    merged[name] = new
            if not merged:
                return None
            payload = replace(before, **merged)
            if payload.input_tokens is not None and payload.output_tokens is not None:
                payload = replace(payload, total_tokens=payload.input_tokens + payload.output_tokens)
        self._told[key] = payload
        if len(self._told) > KEPT:
            self._told.popitem(last=False)
        return payload

    def _total(self, payload: TokenUsage, record: Mapping[str, Any]) -> TokenUsage:
        """A total of the whole session, also where its tool counts every process from zero.

        Claude Code does when a session is resumed. Its result goes on with the count of the one before if it holds
        that and what this turn took (`usage`).
        """
        if payload.tool != "claude-code" or payload.session_id is None:
            return payload
        before, base = self._totals.get(payload.session_id, (None, None))
        turn = record.get("usage")
        took = counts(turn, named=True) if isinstance(turn, dict) else None
        if before is not None and not _goes_on(before, payload, took or Counts()):
            base = before if base is None else _sum(base, before)
        self._totals[payload.session_id] = payload, base
        if len(self._totals) > KEPT:
            self._totals.popitem(last=False)
        return payload if base is None else _sum(base, payload)


def _holds(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - any() takes twice as long
        if word in text:
            return True
    return False


def _goes_on(before: TokenUsage, after: TokenUsage, turn: Counts) -> bool:
    pairs = (
        (before.input_tokens, turn.input, after.input_tokens),
        (before.output_tokens, turn.output, after.output_tokens),
    )
    return all((old or 0) + (took or 0) <= (new or 0) for old, took, new in pairs)


def _sum(one: TokenUsage, other: TokenUsage) -> TokenUsage:
    """Totals of two processes of one session."""
    models: dict[str, Mapping[str, Any]] = dict(one.models or {})
    for name, part in (other.models or {}).items():
        models[name] = _added(models[name], part) if name in models else part
    names = (*_COUNTED, "total_tokens")
    figures = _added({n: getattr(one, n) for n in names}, {n: getattr(other, n) for n in names})
    model = next(iter(models)) if len(models) == 1 else other.model if one.model == other.model else None
    return replace(other, **figures, models=models or None, model=model)


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if value is None and other.get(name) is None else (value or 0) + (other.get(name) or 0)
        for name, value in one.items()
    }


def _key(record: Mapping[str, Any]) -> tuple[str | None, str | None]:
    session = next((record[k] for k in _SESSIONS if isinstance(record.get(k), str)), None)
    parent = record.get("parent_tool_use_id")
    return session, parent if isinstance(parent, str) else None
