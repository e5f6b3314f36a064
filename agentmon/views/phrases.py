"""Phrases: what one event says, in the words of a person. Texts are cleaned already."""

from agentmon.events import ActivityLog, Alert, Gap, GitActivity, Lifecycle, Payload, ProcessMetrics, TokenUsage
from agentmon.telemetry import figure
from agentmon.views.figures import count, many, memory, money
from agentmon.views.text import BOLD, CYAN, DIM, GREEN, LEVELS, MAGENTA, PLAIN, RED, YELLOW, Segment, clean

KINDS = {
    "lifecycle": "run", "metrics_update": "use", "git_activity": "git", "llm_call": "llm", "log_entry": "log",
    "alert": "alert", "gap": "gap",
}  # fmt: skip


def kind(payload: Payload) -> Segment:
    """The short name of what it is, in its colour."""
    match payload:
        case ActivityLog():
            return (LEVELS.get(payload.level) or DIM, payload.level)
        case GitActivity():
            return (MAGENTA, "git")
        case TokenUsage():
            return (GREEN, "llm")
        case Alert() | Gap():
            return (RED, KINDS[payload.event])
        case Lifecycle():
            return (CYAN, "run")
    return (DIM, "use")


def phrase(payload: Payload) -> list[Segment]:
    """What it says."""
    match payload:
        case ActivityLog():
            return [(LEVELS.get(payload.level, PLAIN), clean(payload.message))]
        case GitActivity():
            return git(payload)
        case TokenUsage():
            return [(PLAIN, _usage(payload))]
        case ProcessMetrics():
            return [(DIM, _metrics(payload))]
        case Lifecycle():
            return lifecycle(payload)
        case Alert():
            return [alert(payload)]
        case Gap():
            what = f"{payload.lost_events} events" if payload.lost_events is not None else f"{payload.lost_bytes} bytes"
            where = clean(payload.sink or payload.stream or "stream")
            return [(YELLOW, f"missing {what} ({where}: {clean(payload.reason)})")]
    return []


def git(activity: GitActivity) -> list[Segment]:
    """`commit main 4270968 Start the project +1 -0`"""
    parts = [(BOLD, clean(activity.operation).replace("_", " "))]
    parts += [(CYAN, " " + clean(activity.branch))] if activity.branch else []
    parts += [(DIM, " " + clean(activity.sha)[:10])] if activity.sha else []
    parts += [(PLAIN, " " + clean(activity.message.split("\n")[0]))] if activity.message else []
    if activity.files_changed is not None:
        parts.append((DIM, f" {activity.files_changed} file{'s' if activity.files_changed != 1 else ''}"))
    if activity.insertions is not None or activity.deletions is not None:
        parts += [(GREEN, f" +{activity.insertions or 0}"), (RED, f" -{activity.deletions or 0}")]
    return parts


def alert(payload: Alert) -> Segment:
    """`budget: 5.1 of 5 (stop)`"""
    value = "" if payload.value is None else f" {figure(payload.value)}"
    limit = "" if payload.limit is None else f" of {figure(payload.limit)}"
    return (
        RED if payload.severity == "critical" else YELLOW,
        f"{clean(payload.rule)}:{value}{limit} ({clean(payload.action)})",
    )


def lifecycle(payload: Lifecycle) -> list[Segment]:
    """How a run began or ended."""
    match payload.state:
        case "started":
            command = clean(" ".join(str(word) for word in payload.argv)) if payload.argv else ""
            return [(CYAN, "started "), (PLAIN, command)]
        case "stopped" | "error":
            return [(GREEN if payload.state == "stopped" else RED, f"{payload.state} {fate(payload)}")]
    return [(CYAN, clean(payload.state))]


def fate(end: Lifecycle) -> str:
    """`with status 0 after 1.1 s`"""
    if end.signal:
        how = f"by {clean(end.signal)}"
        if end.exit_code is not None and end.exit_code <= 128:  # 124 after --timeout, 123 of a budget
            how += f" with status {end.exit_code}"
    elif end.exit_code is not None:
        how = f"with status {end.exit_code}"
    else:
        how = clean(end.reason or "in an unknown way")
    return f"{how} after {end.duration_s:.1f} s" if end.duration_s is not None else how


def _usage(usage: TokenUsage) -> str:
    parts = [clean(usage.model)] if usage.model else []
    about = "~" if usage.estimated else ""
    for value, name in (
        (usage.input_tokens, "in"), (usage.output_tokens, "out"), (usage.cache_read_tokens, "cached"),
        (usage.reasoning_tokens, "reasoning"),
    ):  # fmt: skip
        if value is not None:
            parts.append(f"{about}{count(value)} {name}")
    if usage.input_tokens is None and usage.output_tokens is None and usage.total_tokens is not None:
        parts.append(f"{about}{count(usage.total_tokens)} in all")
    if usage.cost_usd is not None:
        parts.append(money(usage.cost_usd))
    if usage.duration_s is not None:
        parts.append(f"{usage.duration_s:.1f} s")
    if usage.status is not None and usage.status >= 400:
        parts.append(f"status {usage.status}")
    parts.append(f"({'session so far, ' if usage.scope == 'session' else ''}{clean(usage.source)})")
    return "  ".join(parts)


def _metrics(metrics: ProcessMetrics) -> str:
    tree = metrics.tree
    parts = [f"cpu {tree.cpu_percent:.0f}%"] if tree.cpu_percent is not None else []
    parts += [f"mem {memory(tree.memory_mb)}"] if tree.memory_mb is not None else []
    parts += [many(tree.processes, "process", "processes")] if tree.processes is not None else []
    parts += [many(tree.threads, "thread", "threads")] if tree.threads is not None else []
    return "  ".join([*parts, clean(metrics.status)])
