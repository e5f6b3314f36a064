"""What all tests share: the wrapper of this checkout, and an end for every process that a test leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from wrapper import Wrapper, adopt_orphans, as_started_by_hand, kill_all

as_started_by_hand()
adopt_orphans()
# how long an example takes says how busy the machine is, and nothing about the code
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture
def wrapper(tmp_path: Path) -> Iterator[Wrapper]:
    """`agentmon run` of this checkout; what it leaves running ends with the test."""
    yield Wrapper(tmp_path)
    kill_all()
