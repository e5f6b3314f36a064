"""`report --json` over a long run log, against `jq -s` that computes the same sums."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.bench import generate
from tests.bench.measure import Place, Used, have

if TYPE_CHECKING:
    from tests.bench.cases import Sizes

SUMS = """
def usage: [.[] | select(.event == "llm_call") | .data.token_usage];
def total(f): map(f | select(. != null)) | add;
{ run_id: .[0].run_id, last_updated: .[-1].timestamp,
  token_usage: (usage | {input_tokens: total(.input_tokens), output_tokens: total(.output_tokens),
    total_tokens: total(.total_tokens), cost_usd: total(.cost_usd), calls: length}),
  usage_by_agent: ([.[] | select(.event == "llm_call")] | group_by(.agent_id)
    | map({key: .[0].agent_id, value: (map(.data.token_usage) | {input_tokens: total(.input_tokens)})}) | from_entries),
  git_operations: ([.[] | select(.event == "git_activity") | .data.git_activity.operation]
    | group_by(.) | map({key: .[0], value: length}) | from_entries),
  git_activities: [.[] | select(.event == "git_activity")][-10:],
  process_metrics: [.[] | select(.event == "metrics_update")][-1],
  activity_logs: [.[] | select(.event == "log_entry")][-50:],
  alerts: [.[] | select(.event == "alert")], gaps: [.[] | select(.event == "gap")] }
"""


def figures(place: Place, sizes: "Sizes") -> Iterator[tuple[str, float, str, float | None]]:
    """What was measured, its value, its unit, and jq's value where there is one."""
    text, log = place.folder / "orchestrator.log", place.folder / "long.ndjson"
    generate.orchestrator(text, sizes.lines)
    place.run((*place.agentmon, "parse", str(text)), str(log))
    text.unlink()

    def least(argv: tuple[str, ...]) -> Used:
        return min((place.run(argv) for _ in range(sizes.repeat)), key=lambda used: used.cpu)

    ours = least((*place.agentmon, "report", "--json", str(log)))
    page = least((*place.agentmon, "report", "--html", "-", str(log)))
    peer = place.run(("sh", "-c", f"exec jq -s {shlex.quote(SUMS)} {shlex.quote(str(log))}")) if have("jq") else None
    log.unlink()
    yield "report --json: CPU", ours.cpu, "s", peer.cpu if peer else None
    yield "report --json: wall", ours.wall, "s", peer.wall if peer else None
    yield "report --json: peak memory", ours.peak, "MB", peer.peak if peer else None
    yield "report --html: CPU", page.cpu, "s", None
    yield "report --html: peak memory", page.peak, "MB", None
