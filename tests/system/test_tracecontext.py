"""A trace that goes on around a run: it is recorded, and the command finds it in its environment as it was."""

import json
from pathlib import Path

import pytest
from wrapper import Wrapper, python

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SHOW = python(
    "import os, json; names = ('TRACEPARENT', 'TRACESTATE'); "
    "print(json.dumps({k: v for k, v in os.environ.items() if k.upper() in names}))"
)


@pytest.mark.parametrize(
    ("added", "recorded"),
    [
        ({}, {}),
        ({"TRACEPARENT": PARENT}, {"traceparent": PARENT}),
        ({"TRACEPARENT": PARENT, "TRACESTATE": "a=1"}, {"traceparent": PARENT, "tracestate": "a=1"}),
        ({"traceparent": PARENT}, {"traceparent": PARENT}),
        ({"TRACEPARENT": "none", "TRACESTATE": "a=1"}, {}),
    ],
    ids=["none", "parent", "with-state", "lower-case", "invalid"],
)
def test_it_is_recorded_and_handed_on(wrapper: Wrapper, tmp_path: Path, added, recorded):
    for name in ("TRACEPARENT", "TRACESTATE", "traceparent", "tracestate"):
        wrapper.env.pop(name, None)
    wrapper.env.update(added)
    events = tmp_path / "events"
    result = wrapper.run(SHOW, "-o", str(events), "--meter", "output,sdk")
    assert json.loads(result.out) == added
    started = json.loads(events.read_text().splitlines()[0])["data"]["lifecycle"]
    assert started["state"] == "started"
    assert {name: started.get(name) for name in ("traceparent", "tracestate") if name in started} == recorded
