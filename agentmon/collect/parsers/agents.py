"""Agents: who acts, where an orchestrator's output tells.

A mark is a line that names the agent whose turn begins, or that ends the turn. Names are as printed. Lines that
nobody claimed belong to the run's own agent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from agentmon.collect.parsers import Line
from agentmon.events import Stream


@dataclass(frozen=True)
class Mark:
    """One shape of line that says who acts.

    regex: searched in a clean line; the group `agent` is the name, no group ends the turn. needles as in a pattern.
    after: counts only once a line has matched the mark of this name (for shapes that are too common alone).
    ends_with_line: the name belongs to this line alone.
    """

    name: str
    regex: str
    needles: tuple[str, ...]
    seen_in: str
    after: str | None = None
    ends_with_line: bool = False

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The regex, compiled when it is first needed."""
        return re.compile(self.regex)


_NAME = r"(?P<agent>[^\s│|┃║](?:[^│|┃║\n]{0,78}[^\s│|┃║])?)"
_WORD = r"(?P<agent>[A-Za-z][\w .&+-]{0,60})"

MARKS: Sequence[Mark] = (
    Mark("crewai-turn-over", r"^[╭┏] ?[─━]{2,200} .{0,4}(?:Task Started|Crew Completion|Crew Execution (?:Started|Completed)) [─━]",
         ("Task Started", "Crew Completion", "Crew Execution"), "crewai 1.15.30"),
    Mark("box-agent", rf"^[\s│┃║|]{{1,20}}(?:🤖|👤|#)? {{0,4}}Agent: {_NAME} {{0,200}}[│┃║|]\s{{0,20}}$",
         ("Agent: ",), "crewai 1.15.30, praisonaiagents 0.1"),
    Mark("line-agent", rf"^[\s├└│─#]{{0,40}}(?:🤖|👤|#) {{0,4}}(?:\[[^\]]{{1,20}}\] )?(?:Agent|Working Agent): {_NAME}\s{{0,200}}$",
         ("Agent: ",), "crewai 0.100, llama-index-core 0.12"),
    Mark("crewai-working", rf"\[DEBUG\]: == Working Agent: {_NAME}\s{{0,40}}$", ("Working Agent: ",), "crewai 0.30"),
    Mark("crewai-finished", r"^[\s│├└─]{0,40}(?:✅|❌|🏁|🚀) {0,4}Crew(?:: \w{1,60})?(?: Execution)? (?:Completed|Failed|Started)",
         (" Crew",), "crewai 0.100"),
    Mark("autogen-user", r"^-{10} (?:TextMessage \()?(?:user|Summary)\)? -{10}$", ("---------- ",), "autogen-agentchat 0.7"),
    Mark("autogen", rf"^-{{10}} (?:[A-Za-z]{{4,40}} \()?{_WORD}\)? -{{10}}$", ("---------- ",), "autogen-agentchat 0.7"),
    Mark("ag2", rf"^{_WORD} \(to [A-Za-z][\w .&+-]{{0,60}}\):$", (" (to ",), "ag2 0.9"),
    Mark("ag2-next", rf"^Next speaker: {_WORD}$", ("Next speaker: ",), "ag2 0.9"),
    Mark("adk-start", r"^Running agent (?P<agent>\w{1,60}), type exit to exit\.$", ("Running agent ",), "google-adk 1"),
    Mark("adk-user", r"^\[user\]: ", ("[user]: ",), "google-adk 1", after="adk-start"),
    Mark("adk", r"^\[(?P<agent>[A-Za-z_]\w{0,60})\]: ", ("]: ",), "google-adk 1", after="adk-start"),
    Mark("adk-debug-user", r"^User > ", ("User > ",), "google-adk 1.18"),
    Mark("adk-debug", r"^(?P<agent>[A-Za-z_]\w{0,60}) > ", (" > ",), "google-adk 1.18", after="adk-debug-user"),
    Mark("openai-agents", rf"\bRunning agent {_WORD} \(turn \d{{1,6}}\)", ("Running agent ",), "openai-agents 0.24.0"),
    Mark("openai-agents-result", r"^- Last agent: Agent\(name=\"(?P<agent>[^\"]{1,80})\"", ("Last agent: ",),
         "openai-agents 0.24.0", ends_with_line=True),
    Mark("swarms", rf"^[╭┏][─━]{{1,200}} (?:🤖 )?Agent(?: Name:?|:) {_WORD}(?: \[Max Loops: ?[^\]]{{1,12}}\]| Response| - [^─━]{{1,80}})? [─━]{{1,200}}[╮┓]$",
         ("Agent Name", " Agent: "), "swarms 8"),
    Mark("agno-team", rf"^[╭┏][─━]{{1,200}} {_WORD} Response(?: \([\d.]{{1,12}}s\))? [─━]{{1,200}}[╮┓]$", (" Response",), "agno 2"),
    Mark("agno-response", r"^[╭┏][─━]{1,200} (?:Response|Message)(?: \([\d.]{1,12}s\))? [─━]{1,200}[╮┓]$", (" Response", " Message"), "agno 2"),
    Mark("smolagents", rf"^[╭┏][─━]{{1,200}} New run - {_WORD} [─━]{{1,200}}[╮┓]$", (" New run - ",), "smolagents 1.26.0"),
    Mark("semantic-kernel", r"^# (?:AuthorRole\.)?(?i:assistant|tool) - (?P<agent>[\w *-]{1,60}): ", ("# ",), "semantic-kernel 1"),
    Mark("metagpt", r" - (?P<agent>[A-Z][\w ]{0,30}\([A-Z][\w ]{1,40}\)): (?:to do|ready to|start|done)", ("): ",), "MetaGPT 0.8"),
)  # fmt: skip


class Agents:
    """Sees lines before the parsers do, and says whose each is."""

    needles = tuple(dict.fromkeys(needle for mark in MARKS for needle in mark.needles))

    def __init__(self) -> None:
        self._acting: dict[Stream, str | None] = {}
        self._seen: set[str] = set()

    def feed(self, line: Line) -> str | None:
        """The agent that this line belongs to; None is the run's own."""
        text = line.text
        if line.truncated or len(text) > 1000:
            return self.current(line.stream)
        for mark in MARKS:
            if mark.after is not None and mark.after not in self._seen:
                continue
            if not any(needle in text for needle in mark.needles):
                continue
            match = mark.compiled.search(text)
            if match is None:
                continue
            self._seen.add(mark.name)
            agent = match["agent"].strip() if "agent" in mark.compiled.groupindex else None
            if mark.ends_with_line:
                return agent
            self._acting[line.stream] = agent
            break
        return self.current(line.stream)

    def current(self, stream: Stream) -> str | None:
        """Who acts in this stream."""
        return self._acting.get(stream)
