"""What the pipeline tells about git."""

from agentmon.collect.parsers.all import standard
from agentmon.collect.pipeline import Pipeline
from agentmon.events import Finding, GitActivity

Told = tuple[str, str | None, str | None, int | None]


def told(*streams: tuple[str, str]) -> list[Told]:
    """(operation, branch, message, files changed) of every event that these streams give, one after the other."""
    pipeline = Pipeline(standard(), logs=False)
    items = [item for stream, text in streams for item in pipeline.feed(stream, text.encode(), 0.0)]
    items += pipeline.close(0.0)
    payloads = [item.payload for item in items if isinstance(item, Finding)]
    return [(p.operation, p.branch, p.message, p.files_changed) for p in payloads if isinstance(p, GitActivity)]


def short(events: list[Told]) -> list[str]:
    return [f"{operation} {branch}" if branch else operation for operation, branch, _, _ in events]


STAT = " 1 file changed, 1 insertion(+)\n"
