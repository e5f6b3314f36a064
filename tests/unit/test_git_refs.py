"""What push and fetch list, in their rarer forms (git 2.39)."""

import pytest

from agentmon.collect.parsers.all import standard
from agentmon.collect.pipeline import Pipeline
from agentmon.events import Finding, GitActivity


@pytest.mark.parametrize(
    ("text", "acts"),
    [
        ("To ../r.git\n \trefs/heads/main:refs/heads/main\t2e32e62..5f6cde1\nDone\n", ["push main"]),
        ("To ../r.git\n!\trefs/heads/main:refs/heads/main\t[rejected] (fetch first)\nDone\n", []),
        (
            "From ../r\n * [new branch]      nb         -> origin/nb\n * [new tag]         t9         -> t9\n"
            "From ../r\n * branch            main       -> FETCH_HEAD\n",
            ["fetch None", "fetch None"],
        ),
        (
            "From ../one\n * [new branch]      nb         -> one/nb\nFrom ../two\n * [new branch]      x  -> two/x\n",
            ["fetch None"],
        ),
    ],
)
def test_refs(text: str, acts: list[str]) -> None:
    pipeline = Pipeline(standard(), logs=False)
    items = [*pipeline.feed("stderr", text.encode(), 0.0), *pipeline.close(0.0)]
    told = [i.payload for i in items if isinstance(i, Finding) and isinstance(i.payload, GitActivity)]
    assert [f"{act.operation} {act.branch}" for act in told] == acts
