"""Sampler: every second of CPU once, never below zero, whatever comes, goes and comes again."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentmon.collect.sampler import MIB, Reading, Sampler
from agentmon.events import ProcessMetrics

ROOT = 100


class Machine:
    """Processes and a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.processes: dict[int, Reading] = {}
        self.shares: dict[int, int | None] = {}
        self.asked: list[int] = []
        self.pss_takes = 0.0
        self.root_age = 2.0

    def set(self, pid: int, own: float = 0.0, reaped: float = 0.0, ppid: int = ROOT, rss: int = MIB, threads: int = 1,
            io: tuple[int | None, int | None] = (0, 0)) -> None:  # fmt: skip
        self.processes[pid] = Reading(ppid, own, reaped, rss, threads, "running", *io)

    def read(self, pid: int) -> Reading:
        if pid not in self.processes:
            raise ProcessLookupError(pid)
        return self.processes[pid]

    def children(self, pid: int) -> Iterable[int]:
        return [child for child, reading in self.processes.items() if reading.ppid == pid]

    def pss(self, pid: int) -> int | None:
        self.asked.append(pid)
        self.now += self.pss_takes
        return self.shares.get(pid)

    def age(self, pid: int) -> float:
        return self.root_age


def _pair() -> tuple[Machine, Sampler]:
    machine = Machine()
    machine.set(ROOT, ppid=1)
    return machine, Sampler(ROOT, lambda: machine, lambda: machine.now)


def _sample(machine: Machine, sampler: Sampler, seconds: float = 2.0) -> ProcessMetrics:
    machine.now += seconds
    sample = sampler.sample()
    assert sample is not None
    return sample


def test_the_first_sample_is_cpu_time_over_age() -> None:
    machine, sampler = _pair()
    machine.set(ROOT, own=1.0, ppid=1)
    sample = _sample(machine, sampler)
    assert (sample.cpu_percent, sample.tree.cpu_percent, sample.tree.cpu_time_s) == (50.0, 50.0, 1.0)


def test_a_tree() -> None:
    machine, sampler = _pair()
    machine.set(101, own=0.5, rss=3 * MIB, threads=4)
    machine.set(102, own=0.25, ppid=101)
    _sample(machine, sampler)
    machine.set(ROOT, own=1.0, ppid=1)
    machine.set(102, own=1.25, ppid=101)
    sample = _sample(machine, sampler)
    assert (sample.pid, sample.cpu_percent, sample.threads) == (ROOT, 50.0, 1)
    tree = sample.tree
    assert (tree.processes, tree.cpu_percent, tree.cpu_time_s, tree.memory_mb, tree.threads) == (3, 100.0, 2.75, 5.0, 6)


def test_the_root_is_gone() -> None:
    machine, sampler = _pair()
    _sample(machine, sampler)
    del machine.processes[ROOT]
    assert sampler.sample() is None


# What the kernel shows of a child that ends between two samples: (before, after) of root's own and reaped, child's own
ENDED = {
    "seen before, then reaped": ([(0.0, 0.0, 1.0), (0.0, 1.5, None)], 1.5),
    "never seen": ([(0.0, 0.0, None), (0.0, 2.0, None)], 2.0),
    "ended, but not reaped by anybody here": ([(0.0, 0.0, 1.0), (0.0, 0.0, None)], 1.0),
    "reaped one sample later": ([(0.0, 0.0, 1.0), (0.0, 0.0, 1.25), (0.0, 1.25, None)], 1.25),
    "root works as well": ([(1.0, 0.0, 1.0), (2.0, 1.0, None), (2.5, 1.0, None)], 3.5),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_child_that_ends_is_counted_once(name: str) -> None:
    steps, total = ENDED[name]
    machine, sampler = _pair()
    for own, reaped, child in steps:
        machine.set(ROOT, own=own, reaped=reaped, ppid=1)
        machine.processes.pop(101, None)
        if child is not None:
            machine.set(101, own=child)
        sample = _sample(machine, sampler)
        assert sample.tree.cpu_percent is not None
        assert sample.tree.cpu_percent >= 0
    assert sampler.cpu_time == pytest.approx(total)


def test_a_grandchild_and_its_parent_end_together() -> None:
    machine, sampler = _pair()
    machine.set(101, own=1.0)
    machine.set(102, own=2.0, ppid=101)
    _sample(machine, sampler)
    machine.processes = {}
    machine.set(ROOT, reaped=3.5, ppid=1)
    _sample(machine, sampler)
    assert sampler.cpu_time == pytest.approx(3.5)


def test_an_orphan_stays_in_the_sums() -> None:
    machine, sampler = _pair()
    machine.set(101, own=1.0)
    machine.set(102, own=1.0, ppid=101)
    _sample(machine, sampler)
    del machine.processes[101]
    machine.set(ROOT, reaped=1.0, ppid=1)
    machine.set(102, own=4.0, ppid=1)
    sample = _sample(machine, sampler)
    assert (sample.tree.processes, sample.tree.cpu_time_s) == (2, 5.0)


def test_a_pid_that_is_used_again() -> None:
    machine, sampler = _pair()
    machine.set(101, own=5.0)
    _sample(machine, sampler)
    machine.set(ROOT, reaped=5.0, ppid=1)
    machine.set(101, own=0.5)
    first = _sample(machine, sampler)
    second = _sample(machine, sampler)
    assert first.tree.cpu_percent == 0.0
    assert second.tree.cpu_time_s in (5.5, 5.0)
    assert second.tree.processes == 2


def test_bytes_are_totals() -> None:
    machine, sampler = _pair()
    machine.set(101, io=(100, 10))
    _sample(machine, sampler)
    del machine.processes[101]
    machine.set(ROOT, io=(7, 1), ppid=1)
    machine.set(102, io=(None, None))
    sample = _sample(machine, sampler)
    assert (sample.tree.read_bytes, sample.tree.write_bytes) == (107, 11)


def test_bytes_that_the_kernel_does_not_tell_are_null() -> None:
    machine, sampler = _pair()
    machine.set(ROOT, io=(None, None), ppid=1)
    sample = _sample(machine, sampler)
    assert (sample.tree.read_bytes, sample.tree.write_bytes) == (None, None)


# ------------------------------------------------------------------ memory


def test_proportional_memory_where_it_is_known() -> None:
    machine, sampler = _pair()
    machine.set(101, rss=8 * MIB)
    machine.shares = {ROOT: MIB // 2, 101: 2 * MIB}
    assert _sample(machine, sampler).tree.memory_mb == 2.5
    machine.set(101, rss=16 * MIB)  # until it is read again it keeps its share
    assert _sample(machine, sampler).tree.memory_mb == 4.5
    assert machine.asked == [ROOT, 101]
    _sample(machine, sampler, 10.0)
    assert len(machine.asked) == 4


def test_proportional_memory_has_a_budget_of_time() -> None:
    """Many processes take turns; nobody is left out for good."""
    machine, sampler = _pair()
    for pid in range(101, 140):
        machine.set(pid)
    machine.pss_takes = 0.01
    counts = []
    for _ in range(15):
        before = len(machine.asked)
        _sample(machine, sampler, 0.1)
        counts.append(len(machine.asked) - before)
    assert max(counts) <= 4
    assert set(machine.asked) == set(machine.processes)


# ------------------------------------------------------------------ clocks and the end


@pytest.mark.parametrize("jump", [0.0, -1000.0])
def test_no_time_has_passed(jump: float) -> None:
    machine, sampler = _pair()
    _sample(machine, sampler)
    machine.set(ROOT, own=1.0, ppid=1)
    sample = _sample(machine, sampler, jump)
    assert (sample.cpu_percent, sample.tree.cpu_percent) == (None, None)
    assert sample.tree.cpu_time_s == 1.0


def test_the_end_with_what_wait4_told() -> None:
    machine, sampler = _pair()
    machine.set(ROOT, own=1.0, ppid=1)
    _sample(machine, sampler)
    machine.now += 2.0
    last = sampler.final(2.0, 77.0)
    assert (last.status, last.memory_mb, last.cpu_percent, last.tree.cpu_time_s, last.tree.processes) == (
        "dead",
        77.0,
        50.0,
        2.0,
        0,
    )


def test_the_end_without_a_sample_or_an_answer() -> None:
    _, sampler = _pair()
    last = sampler.final(None, None)
    assert (last.cpu_percent, last.memory_mb, last.tree.cpu_time_s, last.tree.read_bytes) == (None, None, None, None)


def test_wait4_never_takes_back_what_was_seen() -> None:
    machine, sampler = _pair()
    machine.set(ROOT, own=3.0, ppid=1)
    _sample(machine, sampler)
    assert sampler.final(1.0, None).tree.cpu_time_s == 3.0


@given(
    st.lists(
        st.dictionaries(
            st.integers(101, 106), st.tuples(st.floats(0, 9), st.floats(0, 9), st.sampled_from([1, 100, 101, 103]))
        ),
        max_size=8,
    )
)
def test_never_below_zero_and_never_less(states: list[dict[int, tuple[float, float, int]]]) -> None:
    machine, sampler = _pair()
    total = 0.0
    for state in states:
        machine.processes = {}
        machine.set(ROOT, ppid=1)
        for pid, (own, reaped, ppid) in state.items():
            machine.set(pid, own, reaped, ppid)
        sample = _sample(machine, sampler)
        assert sample.tree.cpu_percent is not None
        assert sample.tree.cpu_time_s is not None
        assert sample.tree.cpu_percent >= 0
        assert sample.tree.cpu_time_s >= total
        total = sample.tree.cpu_time_s
