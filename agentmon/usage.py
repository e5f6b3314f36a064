"""Usage: the sums over model calls, every token counted once."""

from dataclasses import dataclass, field

from agentmon.events import TokenUsage

COUNTS = (
    "input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd",
)  # fmt: skip


@dataclass(slots=True)
class Sums:
    """Sums of what was known; a field that was never known stays None."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None

    def add(self, usage: "TokenUsage | Sums") -> None:
        """Add what is known."""
        for name in COUNTS:
            value = getattr(usage, name)
            if value is not None:
                setattr(self, name, (getattr(self, name) or 0) + value)


@dataclass(slots=True)
class Ledger:
    """All usage of one run. This is the place where sources, scopes and repeats are reconciled."""

    calls: list[tuple[str, TokenUsage]] = field(default_factory=list)

    def add(self, agent_id: str, usage: TokenUsage) -> None:
        """Take one llm_call event."""
        self.calls.append((agent_id, usage))

    def totals(self) -> Sums:
        """The run's sums."""
        sums = Sums()
        for _, usage in self.calls:
            sums.add(usage)
        return sums

    def by_model(self) -> dict[str, Sums]:
        """Sums per model."""
        models: dict[str, Sums] = {}
        for _, usage in self.calls:
            if usage.model:
                models.setdefault(usage.model, Sums()).add(usage)
        return models

    def by_agent(self) -> dict[str, Sums]:
        """Sums per agent_id."""
        agents: dict[str, Sums] = {}
        for agent, usage in self.calls:
            agents.setdefault(agent, Sums()).add(usage)
        return agents
