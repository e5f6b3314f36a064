"""The lines by which orchestrators say who acts, mark by mark."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Mark:
    """One shape of line that says who acts.

    regex: searched in a clean line; the group `agent` is the name, without it the turn ends. needles as in a pattern;
    none: every line is looked at, once `after` holds.
    after: counts only once a line has matched a mark of these names (for shapes that are too common alone).
    this_line: the name belongs to this line alone.
    """

    name: str
    regex: str
    needles: tuple[str, ...]
    seen_in: str
    after: tuple[str, ...] = ()
    this_line: bool = False

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The regex, compiled when it is first needed."""
        return re.compile(self.regex)

    @property
    def names(self) -> bool:
        """Whether the line holds a name."""
        return "agent" in self.compiled.groupindex


_NAME = r"(?P<agent>[^\s│|┃║](?:[^│|┃║\n]{0,78}[^\s│|┃║])?)"
_WORD = r"(?P<agent>[A-Za-z](?:[\w .&+-]{0,60}[\w.&+-])?)"
_TOP, _CORNER = r"^[╭┏][─━]{1,200} ", r" [─━]{1,200}[╮┓]$"
_TITLE_END = r"(?: \[(?:Max Loops|Loop): ?[^\]]{1,16}\]| Response| - [^─━]{1,80})?"
_RESPONSE = (" Response ━", " Response ─", " Response (")
_SECONDS = r"(?: \([\d.]{1,12}s\))?"

MARKS: Sequence[Mark] = (
    Mark(
        "crewai-turn-over",
        _TOP
        + r"(?:\S{1,3} )?(?:Task Started|Crew (?:Completion|Failure)|Crew Execution (?:Started|Completed|Failed))"
        + _CORNER,
        ("Task Started", "Crew "),
        "crewai 1.15.30",
    ),
    Mark(
        "box-agent",
        rf"^[\s│┃║|]{{1,20}}(?:🤖|👤|#)? {{0,4}}Agent: {_NAME} {{0,200}}[│┃║|]\s{{0,20}}$",
        ("Agent: ",),
        "crewai 1.15.30",
    ),
    Mark(
        "line-agent",
        rf"^[\s├└│─#]{{0,40}}(?:🤖|👤|#) {{0,4}}(?:\[[^\]]{{1,20}}\] )?(?:Agent|Working Agent): {_NAME}\s{{0,200}}$",
        ("Agent: ",),
        "no capture: older crewai, llama-index examples",
    ),
    Mark(
        "crewai-working",
        rf"\[DEBUG\]: == Working Agent: {_NAME}\s{{0,40}}$",
        ("Working Agent: ",),
        "no capture: older crewai",
    ),
    Mark(
        "crewai-finished",
        r"^[\s│├└─]{0,40}(?:✅|❌|🏁|🚀) {0,4}Crew(?:: \w{1,60})?(?: Execution)? (?:Completed|Failed|Started)",
        (" Crew",),
        "no capture: older crewai",
    ),
    Mark(
        "autogen-user",
        r"^-{10} (?:[A-Za-z]{4,40} \()?(?:user|Summary)\)? -{10}$",
        ("---------- ",),
        "source of autogen-agentchat 0.7.5",
    ),
    Mark(
        "autogen", rf"^-{{10}} (?:[A-Za-z]{{4,40}} \()?{_WORD}\)? -{{10}}$", ("---------- ",), "autogen-agentchat 0.7"
    ),
    Mark("ag2", rf"^{_WORD} \(to [A-Za-z][\w .&+-]{{0,60}}\):$", (" (to ",), "no capture: autogen 0.2"),
    Mark("ag2-next", rf"^Next speaker: {_WORD}$", ("Next speaker: ",), "no capture: autogen 0.2"),
    Mark(
        "adk-start",
        r"^Running agent (?P<agent>\w{1,60}), type exit to exit\.$",
        ("Running agent ",),
        "source of google-adk 2.13.0",
    ),
    Mark(
        "adk",  # the prompt for the next line has no line end where the input is no terminal
        r"^(?:\[user\]: )?\[(?!user\])(?P<agent>[A-Za-z_]\w{0,60})\]: ",
        (),
        "source of google-adk 2.13.0",
        after=("adk-start", "adk-user"),
    ),
    Mark("adk-user", r"^\[user\]: ", ("[user]: ",), "source of google-adk 2.13.0"),
    Mark("adk-debug-user", r"^User > ", ("User > ",), "source of google-adk 2.13.0"),
    Mark(
        "adk-debug", r"^(?P<agent>[A-Za-z_]\w{0,60}) > ", (), "source of google-adk 2.13.0", after=("adk-debug-user",)
    ),
    Mark(
        "bracket-agent",
        r"^\[(?P<agent>[A-Za-z]\w{0,50}(?:_agent|Agent))\]:? ",
        ("gent]",),
        "no capture: google-adk events",
    ),
    Mark(
        "adk-event",
        r"\bauthor='(?!user')(?P<agent>[A-Za-z_]\w{0,60})'",
        ("author='",),
        "no capture: google-adk events",
        this_line=True,
    ),
    Mark(
        "autogen-object",
        r"\bsource='(?P<agent>[^']{1,60})', models_usage=RequestUsage\(",
        ("models_usage=",),
        "autogen-agentchat 0.7",
        this_line=True,
    ),
    Mark(
        "openai-agents",
        rf"\bRunning agent {_WORD} \(turn \d{{1,6}}\)",
        ("Running agent ",),
        "source of openai-agents 0.24.0",
    ),
    Mark(
        "openai-agents-result",
        r"^- Last agent: Agent\(name=\"(?P<agent>[^\"]{1,80})\"",
        ("Last agent: ",),
        "source of openai-agents 0.24.0",
        this_line=True,
    ),
    Mark(
        "swarms",
        _TOP + rf"(?:🤖 )?Agent(?: Name:?|:) {_WORD}{_TITLE_END}" + _CORNER,
        ("Agent Name", " Agent: "),
        "source of swarms 16.0.3",
    ),
    Mark("agno-member", _TOP + rf"{_WORD} Response{_SECONDS}" + _CORNER, _RESPONSE, "source of agno 3.1.10"),
    Mark(
        "agno-own",
        _TOP + rf"(?:Response|Message){_SECONDS}" + _CORNER,
        (*_RESPONSE, "━ Message"),
        "source of agno 3.1.10",
    ),
    Mark("smolagents", _TOP + rf"New run - {_WORD}" + _CORNER, (" New run - ",), "source of smolagents 1.26.0"),
    Mark(
        "semantic-kernel",
        r"^# AuthorRole\.(?:ASSISTANT|TOOL) - (?P<agent>[\w *-]{1,60}): ",
        ("AuthorRole.",),
        "no capture: semantic-kernel examples",
    ),
    Mark(
        "metagpt",
        r" - (?P<agent>[A-Z][\w ]{0,30}\([A-Z][\w ]{1,40}\)): (?:to do|ready to) ",
        ("): to do ", "): ready to "),
        "no capture: MetaGPT's log line",
    ),
)
