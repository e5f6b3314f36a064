"""The token usage that tools print in lines of their own, pattern by pattern.

What a tool prints as an object (a Python repr, a dict) is read by `literals`, and what it prints under plain labels
(`Prompt tokens: 5`) by `labels`; here is what has a form of its own.
"""

from collections.abc import Sequence

from agentmon.collect.parsers.patterns import COUNT, MONEY, PREFIX, Pattern

_N = COUNT
_MODEL = r"[A-Za-z][\w.:/@\[\]-]{1,80}"

# In front of a figure of no known tool: it is a total of what came before.
_LEAD = r"(?P<whole>(?:[Gg]rand )?(?:[Tt]otal|[Ff]inal|[Ss]ession|[Cc]umulative|[Oo]verall)[ :]{1,2})?"


def _count(name: str) -> str:
    return f"(?P<{name}>{_N})"


_IN, _OUT, _TOTAL = _count("input"), _count("output"), _count("total")
_READ, _WRITE, _REASONING = _count("cache_read"), _count("cache_write"), _count("reasoning")
_COST = rf"\$(?P<cost>{MONEY})"

TOKENS: Sequence[Pattern] = (
    Pattern(
        name="aider",
        kind="tokens",
        regex=rf"^[^A-Za-z]{{0,40}}Tokens: {_IN} sent(?:, {_WRITE} cache write)?(?:, {_READ} cache hit)?"
        rf", {_OUT} received\.(?: Cost: {_COST} message)?",
        needles=(" sent, ",),
        tool="aider",
        seen_in="aider-chat 0.86.2",
    ),
    Pattern(
        name="aider-cost",  # on a line of its own where the cache was both read and written
        kind="tokens",
        regex=rf"^[^A-Za-z]{{0,40}}Cost: {_COST} message, \$[\d.]{{1,20}} session\.",
        needles=(" message, $",),
        tool="aider",
        seen_in="aider-chat 0.86.2",
    ),
    Pattern(
        name="smolagents-step",
        kind="tokens",
        regex=rf"^[^A-Za-z]{{0,20}}Step (?P<step>\d{{1,6}}): Duration [\d.]{{1,20}} seconds ?\| Input tokens: {_IN} \| "
        rf"Output tokens: {_OUT}\]",
        needles=("| Input tokens: ",),
        scope="session",
        of="agent",
        tool="smolagents",
        seen_in="smolagents 1.26.0",
    ),
    Pattern(
        name="mini-swe-agent-step",
        kind="tokens",
        regex=rf"^mini-swe-agent \(step (?P<step>\d{{1,6}}), {_COST}\):",
        needles=("mini-swe-agent (step ",),
        scope="session",
        of="agent",
        tool="mini-swe-agent",
        seen_in="mini-swe-agent 2.4.6",
    ),
    Pattern(
        name="swe-agent-total",
        kind="tokens",
        regex=rf"\btotal_tokens_sent={_IN}, total_tokens_received={_OUT}, total_cost=(?P<cost>{MONEY})",
        needles=("total_tokens_sent=",),
        scope="session",
        of="agent",
        tool="swe-agent",
        seen_in="no capture: SWE-agent's source",
    ),
    Pattern(
        name="agno-metrics-written",  # only Anthropic's figures have cache writes; their input is without any cache
        kind="tokens",
        regex=rf"^(?:DEBUG)?[\s*]{{1,20}}Tokens: {{1,40}}input={_IN}, output={_OUT}, total={_TOTAL}"
        rf"(?:, cached={_READ})?, cache_write_tokens={_WRITE}(?:, reasoning={_REASONING})?",
        needles=("* Tokens:",),
        input_includes=frozenset(),
        tool="agno",
        seen_in="agno 3.1.10",
    ),
    Pattern(
        name="agno-metrics",
        kind="tokens",
        regex=rf"^(?:DEBUG)?[\s*]{{1,20}}Tokens: {{1,40}}input={_IN}, output={_OUT}, total={_TOTAL}"
        rf"(?:, cached={_READ})?(?:, reasoning={_REASONING})?",
        needles=("* Tokens:",),
        tool="agno",
        seen_in="agno 3.1.10",
    ),
    Pattern(
        name="autogen-message",
        kind="tokens",
        regex=rf"^\[Prompt tokens: {_IN}, Completion tokens: {_OUT}\]",
        needles=("[Prompt tokens: ",),
        tool="autogen",
        seen_in="no capture: source of autogen-agentchat 0.7.5",
    ),
    Pattern(
        name="ag2-summary",
        kind="tokens",
        regex=r"^Usage summary excluding cached usage:",
        needles=("Usage summary ",),
        tool="ag2",
        opens="ag2-summary",
        seen_in="no capture: autogen 0.2's tests",
    ),
    Pattern(
        name="ag2-summary-cached",
        kind="tokens",
        regex=r"^Usage summary including cached usage:",
        needles=("Usage summary ",),
        tool="ag2",
        opens="ag2-summary-cached",
        seen_in="no capture: autogen 0.2's tests",
    ),
    Pattern(
        name="ag2-cached-model",
        kind="tokens",
        regex=r"^\* Model '",
        needles=("* Model '",),
        within="ag2-summary-cached",
        seen_in="no capture: what came from its cache cost nothing",
    ),
    Pattern(
        name="ag2-model",
        kind="tokens",
        regex=rf"^\* Model '(?P<model>[^']{{1,80}})': cost: (?P<cost>{MONEY}(?:e-\d{{1,3}})?), prompt_tokens: {_IN}, "
        rf"completion_tokens: {_OUT}, total_tokens: {_TOTAL}",
        needles=("* Model '",),
        scope="session",
        of="model",
        tool="ag2",
        within="ag2-summary",
        seen_in="no capture: autogen 0.2's tests",
    ),
    Pattern(
        name="metagpt-cost",
        kind="tokens",
        regex=rf"Total running cost: \$[\d.]{{1,20}} \| Max budget: \$[\d.]{{1,20}} \| Current cost: "
        rf"{_COST}, prompt_tokens: {_IN}, completion_tokens: {_OUT}",
        needles=("Total running cost: ",),
        tool="metagpt",
        seen_in="no capture: MetaGPT's log line",
    ),
    Pattern(
        name="claude-cost-model",
        kind="tokens",
        regex=rf"^[\s│⎿]{{0,40}}(?P<model>{_MODEL}): {{1,40}}{_IN} input, {_OUT} output, {_READ} cache read"
        rf", {_WRITE} cache write(?:, \d{{1,6}} web search)?(?: \({_COST}\))?",
        needles=(" cache read, ",),
        scope="session",
        of="model",
        input_includes=frozenset(),
        tool="claude-code",
        seen_in="claude-code 2.1.197",
    ),
    Pattern(
        name="codex-exit",
        kind="tokens",
        regex=PREFIX + rf"Token usage: total={_TOTAL} input={_IN}(?: \(\+ ?{_READ} cached\))? output={_OUT}"
        rf"(?: \(reasoning {_REASONING}\))?",
        needles=("Token usage: total=",),
        scope="session",
        of="thread",
        input_includes=frozenset({"cache_write"}),
        tool="codex",
        seen_in="no capture: codex's last line, as quoted in public logs",
    ),
    Pattern(
        name="copilot-total",
        kind="tokens",
        regex=rf"^[\s│•]{{0,20}}(?:Total )?[Tt]okens:? {{1,20}}↑ {_IN}"
        rf"(?: \((?:{_READ} cached)?(?:, )?(?:{_WRITE} written)?\))? • ↓ {_OUT}(?: \({_REASONING} reasoning\))?",
        needles=("↑ ",),
        scope="session",
        of="session",
        tool="copilot-cli",
        seen_in="copilot-cli 1.0.102",
    ),
    Pattern(
        name="copilot-model",
        kind="tokens",
        regex=rf"^\s{{1,20}}(?P<model>{_MODEL}) {{1,40}}{_IN} in(?:put)?, {_OUT} out(?:put)?"
        rf"(?:, {_READ} cache(?:d| read))?(?:, {_WRITE} cache write)? \(Est\. ",
        needles=(" (Est. ",),
        scope="session",
        of="model",
        tool="copilot-cli",
        seen_in="no capture: copilot-cli before 1.0, as quoted in public logs",
    ),
    Pattern(
        name="openhands-total",
        kind="tokens",
        regex=rf"Tokens: ↑ input (?:{_N} \(total )?{_IN}\)? • cache hit (?:\(total )?[\dNA/.%]{{1,12}}\)? • "
        rf"(?: ?reasoning (?:{_N} )?(?:\(total )?{_REASONING}\)? • )?↓ output (?:{_N} \(total )?{_OUT}\)? • "
        rf"\$ (?:\(total )?\$?(?P<cost>{MONEY})",
        needles=("↑ input ",),
        scope="session",
        of="conversation",
        tool="openhands",
        seen_in="no capture: openhands-sdk's source",
    ),
    Pattern(
        name="goose-cost",
        kind="tokens",
        regex=rf"^\s{{0,8}}Cost: {_COST} USD \({_TOTAL} tokens: in {_IN}"
        rf"(?: \((?:{_READ} cache read)?(?:, )?(?:{_WRITE} cache write)?\))?, out {_OUT}\)",
        needles=(" tokens: in ",),
        scope="session",
        of="session",
        tool="goose",
        seen_in="no capture: goose's source",
    ),
    Pattern(
        name="model-table",
        kind="tokens",
        regex=r"Model(?: Usage)? {1,80}Reqs {1,40}Input Tokens {1,40}Output Tokens",
        needles=("Input Tokens",),
        opens="model-table",
        seen_in="qwen-code 0.15.10",
    ),
    Pattern(
        name="model-table-row",
        kind="tokens",
        regex=rf"^[\s│┃|]{{1,20}}(?P<model>{_MODEL}) {{2,80}}[\d,]{{1,9}} {{1,40}}{_IN} {{1,40}}{_OUT}[\s│┃|]{{0,80}}$",
        needles=(),
        scope="session",
        of="model",
        within="model-table",
        seen_in="qwen-code 0.15.10",
    ),
    Pattern(
        name="model-table-cached",
        kind="tokens",
        regex=r"Model(?: Usage)? {1,80}Reqs {1,40}Input Tokens {1,40}Cache Reads {1,40}Output Tokens",
        needles=("Input Tokens",),
        opens="model-table-cached",
        seen_in="no capture: gemini-cli with a column for the cache",
    ),
    Pattern(
        name="model-table-cached-row",
        kind="tokens",
        regex=rf"^[\s│┃|]{{1,20}}(?P<model>{_MODEL}) {{2,80}}[\d,]{{1,9}} {{1,40}}{_IN} {{1,40}}{_READ}"
        rf" {{1,40}}{_OUT}[\s│┃|]{{0,80}}$",
        needles=(),
        scope="session",
        of="model",
        input_includes=frozenset({"cache_write"}),
        within="model-table-cached",
        seen_in="no capture: gemini-cli with a column for the cache",
    ),
    Pattern(
        name="strands-summary",
        kind="tokens",
        regex=rf"^[\s├─]{{0,8}}Tokens: in={_IN}, out={_OUT}, total={_TOTAL}(?:, cache_read_input_tokens={_READ})?"
        rf"(?:, cache_write_input_tokens={_WRITE})?",
        needles=("Tokens: in=",),
        scope="session",
        of="agent",
        tool="strands",
        seen_in="no capture: source of strands-agents 1.62.0",
    ),
    Pattern(
        name="pi-footer",
        kind="tokens",
        regex=rf"^\s{{0,8}}↑{_IN} ↓{_OUT}(?: R{_READ})?(?: W{_WRITE})?(?: {_COST}(?: \(sub\))?)? [\d.?]{{1,8}}%/",
        needles=("↑",),
        scope="session",
        of="session",
        input_includes=frozenset(),
        tool="pi",
        seen_in="no capture: the footer of pi's interface",
    ),
    Pattern(
        name="arrows",
        kind="tokens",
        regex=PREFIX + rf"[Tt]okens?\b:? {{0,20}}↑ ?{_IN}[^A-Za-z\d↓]{{1,8}}↓ ?{_OUT}",
        needles=("↑",),
        scope="session",
        of="session",
        seen_in="status lines of several agents: running totals",
    ),
    # Shapes of no tool's come last: a tool's own line may hold one of them.
    Pattern(
        name="token-usage",
        kind="tokens",
        regex=PREFIX + _LEAD + rf"[Tt]oken [Uu]sage[:=]? {{0,4}}{_IN} (?:input|prompt)(?: tokens)?(?: and|,| ?/| ?\+)? "
        rf"{_OUT} (?:output|completion)\b",
        needles=("oken usage", "oken Usage"),
        seen_in="orchestrators' own prints",
    ),
    Pattern(
        name="tokens-in",
        kind="tokens",
        regex=rf"^[^A-Za-z\d]{{0,40}}{_IN} tokens in[^A-Za-z\d]{{1,4}}{_OUT} (?:tokens )?out\b",
        needles=(" tokens in",),
        seen_in="no capture: praisonaiagents' source",
    ),
    Pattern(
        name="in-and-out",
        kind="tokens",
        regex=PREFIX + _LEAD + r"(?:(?:[A-Za-z]{1,20} ){0,2}(?:[Cc]all|[Rr]equest|[Rr]esponse|[Ss]tep|[Tt]urn|[Rr]un)"
        r"(?: \d{1,6}| done| finished| completed?)?(?::| [-–—]) |[Uu]sed |[Cc]onsumed )?"
        rf"(?:(?:[Tt]okens?|[Uu]sage|[Tt]oken [Uu]sage)\b:? {{0,4}})?{_IN} (?:input|prompt)(?: tokens?)?"
        rf"(?:,| ?/| ?\+|,? and| ?\||;)? {_OUT} (?:output|completion)(?: tokens?)?+\b"
        rf"(?:(?:,| =) {_TOTAL} (?:total|tokens))?(?! (?:per|left|remaining|saved))",
        needles=(" input tokens", " prompt tokens", " input,", " prompt,", " input /", " input +", " prompt +"),
        seen_in="orchestrators' own prints",
    ),
    Pattern(
        name="tokens-number-first",
        kind="tokens",
        regex=PREFIX + _LEAD + rf"(?:[Cc]ost: \$[\d.]{{1,20}}[^A-Za-z\d]{{1,6}})?"
        rf"(?:[Tt]okens?(?: [Uu]s(?:ag)?ed?)?|[Uu]sage)\b[^A-Za-z\d]{{0,8}}(?:{_TOTAL}(?: total)?[^A-Za-z\d]{{1,6}})?"
        rf"{_IN} (?:in|input|prompt)(?: tokens)?[^A-Za-z\d]{{1,8}}{_OUT} (?:out|output|completion)\b"
        rf"(?:[^A-Za-z\d]{{1,8}}[Cc]ost[^A-Za-z\d]{{1,4}}{_COST})?(?! (?:per|left|remaining|saved))",
        needles=("okens: ", "okens used", "okens Used", "Usage: ", "usage: "),
        seen_in="orchestrators' own prints",
    ),
    Pattern(
        name="tokens-in-out",
        kind="tokens",
        regex=PREFIX
        + rf"(?:[A-Z][a-z]{{1,12}} )?(?:[Tt]okens?(?: [Uu]s(?:ag)?ed?| [Cc]ount)?|[Uu]sage)\b[^A-Za-z\d]{{0,8}}"
        rf"(?:{_TOTAL}[^A-Za-z\d]{{1,6}}(?:tokens?[^A-Za-z\d]{{1,6}})?)?"
        rf"(?:[Ii]n(?:put)?|[Pp]rompt|[Ss]ent)(?: tokens)? ?[:= ] ?{_IN}[^A-Za-z\d]{{1,8}}"
        rf"(?:[Oo]ut(?:put)?|[Cc]ompletion|[Rr]esponse|[Rr]eceived)(?: tokens)? ?[:= ] ?{_OUT}"
        rf"(?:[^A-Za-z\d]{{1,6}}cache(?:d| read)[:= ] ?{_READ})?(?:[^A-Za-z\d]{{1,6}}cache write[:= ] ?{_WRITE})?"
        rf"(?:[^A-Za-z\d]{{1,6}}[Cc]ost[^A-Za-z\d]{{1,4}}{_COST})?",
        needles=(
            "okens:",
            "okens in",
            "okens -",
            "okens (",
            "okens |",
            "okens=",
            "oken usage",
            "oken Usage",
            "okens used",
            "okens Used",
            "usage: ",
            "Usage: ",
            "usage - ",
            "Usage - ",
        ),
        seen_in="orchestrators' own prints",
    ),
)
