"""Summary: one run in a few lines of text."""

from collections.abc import Iterator

from agentmon.telemetry import RunTelemetry
from agentmon.usage import Sums


def summary(state: RunTelemetry) -> Iterator[str]:
    """The lines of the summary. What is not known is left out, never shown as 0."""
    if state.run_id is None:
        yield "no events"
        return
    yield f"run      {state.run_id}  {state.agent_id} in team {state.team_id}"
    if state.start is not None and state.start.argv:
        yield f"command  {' '.join(state.start.argv)}"
    if state.end is not None:
        yield f"ended    {_fate(state)}"
    elif state.start is not None:
        yield "ended    not yet, or the end was not recorded"
    metrics = state.process_metrics
    if metrics is not None and metrics.tree.cpu_time_s is not None:
        peak = f", {state.peak_memory_mb:.0f} MiB at most" if state.peak_memory_mb else ""
        yield f"used     {metrics.tree.cpu_time_s:.2f} s of CPU{peak}"
    totals = state.usage.totals()
    if totals.total_tokens is not None or totals.cost_usd is not None:
        yield f"tokens   {tokens(totals)}"
        for name, sums in state.usage.by_model().items():
            yield f"  {name}: {tokens(sums)}"
        per_agent = state.usage.by_agent()
        if len(per_agent) > 1:
            for name, sums in per_agent.items():
                yield f"  by {name}: {tokens(sums)}"
    if state.git_operations:
        counts = (f"{n} {name.replace('_', ' ')}" for name, n in state.git_operations.items())
        yield f"git      {', '.join(counts)}"
    problems = [
        f"{n} {level}{'s' if n > 1 else ''}" for level in ("error", "warning") if (n := state.log_levels.get(level))
    ]
    if problems:
        yield f"log      {', '.join(problems)}"
    for gap in state.gaps:
        what = f"{gap.lost_events} events" if gap.lost_events is not None else f"{gap.lost_bytes} bytes"
        yield f"missing  {what} ({gap.sink or gap.stream or 'stream'}: {gap.reason})"


def tokens(sums: Sums) -> str:
    """Sums in words."""
    parts = []
    for value, name in ((sums.input_tokens, "input"), (sums.output_tokens, "output")):
        if value is not None:
            parts.append(f"{value:,} {name}")
    if not parts and sums.total_tokens is not None:
        parts.append(f"{sums.total_tokens:,} in all")
    if sums.cache_read_tokens:
        parts.append(f"{sums.cache_read_tokens:,} of it cached")
    if sums.cost_usd is not None:
        parts.append(f"${sums.cost_usd:.4f}")
    return ", ".join(parts)


def _fate(state: RunTelemetry) -> str:
    end = state.end
    assert end is not None
    if end.signal:
        how = f"by {end.signal}"
    elif end.exit_code is not None:
        how = f"with status {end.exit_code}"
    else:
        how = end.reason or "in an unknown way"
    return f"{how} after {end.duration_s:.1f} s" if end.duration_s is not None else how
