"""Accounts: which printed figures are about the same tokens.

Text seldom says whose total a figure is. What it says by its numbers is read here: a figure that equals the total so
far is that total again; one that equals the sum of the calls before it is their total; calls that follow a total and
stay within it are its parts; a running total that falls is that of a new session. Every figure gets the tool and the
session that it belongs to, and the fold replaces totals and adds sessions by these.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

from agentmon.events import TokenUsage

_KEPT = 64  # calls that are remembered one by one
_RECENT = 2  # prints of one call that follow each other
_OTHERS = 16


@dataclass(slots=True, eq=False)
class _Account:
    """What one tool has printed in one session: its calls, summed, and its totals (one for each part, mostly one)."""

    tool: str | None
    number: int
    calls: deque[tuple[TokenUsage, bool]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    count: int = 0
    given: int = 0
    made: int = 0
    totals: dict[str, TokenUsage] = field(default_factory=dict)
    exact: bool = False  # its last call was a whole object
    step: int = 0  # the last step of its running total, where steps are counted
    itemized: bool = False  # its total came first: the calls are parts of it

    def add(self, usage: TokenUsage, exact: bool) -> None:
        self.calls.append((usage, exact))
        self.exact = exact
        self.count += 1
        self.given += usage.input_tokens or 0
        self.made += usage.output_tokens or 0

    def key(self, part: str) -> str | None:
        """The session's id. What nobody is known to have printed has none at first: JSON's figures have none either."""
        if part:
            return f"{self.number}/{part}"
        return None if self.tool is None and self.number == 1 else str(self.number)


class Accounts:
    """Places every usage that was read from text."""

    def __init__(self) -> None:
        self._open: dict[str | None, _Account] = {}
        self._numbers: dict[str | None, int] = {}
        self._others: deque[_Account] = deque(maxlen=_OTHERS)  # running totals of agents whose turn it is not
        self._recent: deque[tuple[TokenUsage, bool]] = deque(maxlen=_RECENT)

    def all_known(self, usages: Sequence[TokenUsage]) -> bool:
        """Whether all of these calls have been told: an object that lists them (a result) is printed after them."""
        calls = [call for account in self._open.values() for call, _ in account.calls]
        return all(u.scope == "call" and any(_agree(u, call) for call in calls) for u in usages)

    def place(
        self, usage: TokenUsage, *, part: str = "", certain: bool = False, exact: bool = True, step: int | None = None
    ) -> Sequence[TokenUsage]:
        """The usage with its tool, scope and session; nothing for what repeats figures that are known.

        certain: the scope is as the form of the print says. exact: whole objects, of which two that agree in every
        figure are one call; figures that people round or make up may well agree by chance. step: which step of an
        agent a running total is of; several agents of one tool may take turns.
        """
        if step is not None:
            self._turn(usage, step)
        if usage.scope == "session":
            return (self._total(usage, part, certain),)
        if not certain:
            for account in list(self._open.values()):
                if any(_same(usage, total) for total in account.totals.values()):
                    return (self._merged(account, usage, part),)
                if account.count > (1 if exact or account.exact else 2) and _sums(account, usage):
                    return (self._merged(account, usage, part),)
        account = self._account(usage.tool)
        for at, (call, whole) in enumerate(self._recent):
            if (exact or whole) and _agree(usage, call):
                self._recent[at] = call, True
                return ()
        self._recent.append((usage, exact))
        if account.totals and (account.itemized or not account.count):
            total = sum(t.input_tokens or 0 for t in account.totals.values())
            if account.given + (usage.input_tokens or 0) <= total:
                account.itemized = True
                account.add(usage, exact)
                return ()
            account.itemized = False
        account.add(usage, exact)
        if account.totals and usage.call_id is None:  # no total holds it yet: it has to be told from those that do
            usage = replace(usage, call_id=f"printed-{account.number}.{account.count}")
        session = account.key("")
        return (usage if usage.session_id == session else replace(usage, session_id=session),)

    def _turn(self, usage: TokenUsage, step: int) -> None:
        """Open the account that this step goes on in, or a new one: the latest whose last step was the one before."""
        account = self._account(usage.tool)
        mine = [a for a in (account, *reversed(self._others)) if a.tool == usage.tool]
        grown = [a for a in mine if not any(_fallen(total, usage) for total in a.totals.values())]
        chosen = (
            next((a for a in grown if a.step == step - 1), None)
            or next((a for a in grown if a.step == step and any(_same(t, usage) for t in a.totals.values())), None)
            or next((a for a in grown if 0 < a.step < step), None)  # a line that was lost
            if step > 1 or not account.totals
            else None
        )
        if chosen is None:
            chosen = self._fresh(usage.tool)
        if chosen is not account:
            if chosen in self._others:
                self._others.remove(chosen)
            self._others.append(account)
            self._open[usage.tool] = chosen
        chosen.step = step

    def _account(self, tool: str | None) -> _Account:
        if tool not in self._open:
            self._open[tool] = self._fresh(tool)
        return self._open[tool]

    def _fresh(self, tool: str | None) -> _Account:
        self._numbers[tool] = self._numbers.get(tool, 0) + 1
        return _Account(tool, self._numbers[tool])

    def _total(self, usage: TokenUsage, part: str, certain: bool) -> TokenUsage:
        owner = next(
            (
                account
                for account in (*self._open.values(), *self._others)
                if (account.tool == usage.tool or not account.totals or not part)
                and (any(_same(usage, t) for t in account.totals.values()) or (account.count and _sums(account, usage)))
            ),
            None,
        )
        if owner is None:
            owner = self._account(usage.tool)
            previous = owner.totals.get(part)
            if previous is not None and _fallen(previous, usage):
                owner = self._open[usage.tool] = self._fresh(usage.tool)
        return self._merged(owner, usage, part)

    def _merged(self, account: _Account, usage: TokenUsage, part: str) -> TokenUsage:
        """A total with what an equal one said before and it does not."""
        equal = next((p for p, t in account.totals.items() if _same(usage, t)), None)
        if equal is not None:
            part = equal
        before = account.totals.get(part)
        if before is not None and _same(usage, before):
            known = {
                f.name: getattr(before, f.name)
                for f in fields(TokenUsage)
                if getattr(usage, f.name) is None and f.name not in ("call_id", "session_id", "tool")
            }
            usage = replace(usage, **known)
        usage = replace(usage, scope="session", tool=account.tool, session_id=account.key(part), call_id=None)
        account.totals[part] = usage
        if len(account.totals) > _OTHERS:
            del account.totals[next(iter(account.totals))]
        account.itemized = False
        return usage


def _same(one: TokenUsage, other: TokenUsage) -> bool:
    """Whether two totals are one: the figures that both know are equal, and more than nothing."""
    return bool(one.input_tokens) and (one.input_tokens, one.output_tokens) == (other.input_tokens, other.output_tokens)


def _agree(one: TokenUsage, other: TokenUsage) -> bool:
    """Whether two prints can be of one call: every figure that both know is the same."""
    if one.input_tokens != other.input_tokens or one.output_tokens != other.output_tokens:
        return False
    return all(
        getattr(one, name) is None or getattr(other, name) in (None, getattr(one, name))
        for name in ("model", "call_id", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    )


def _sums(account: _Account, usage: TokenUsage) -> bool:
    """Whether this is the sum of the calls: of all input, and no less output (a stream's calls may show too little)."""
    return (
        bool(usage.input_tokens) and usage.input_tokens == account.given and (usage.output_tokens or 0) >= account.made
    )


def _fallen(before: TokenUsage, after: TokenUsage) -> bool:
    pairs = [
        (getattr(before, name), getattr(after, name))
        for name in ("input_tokens", "output_tokens", "total_tokens", "cost_usd")
    ]
    return any(a is not None and b is not None and b < a for a, b in pairs)
