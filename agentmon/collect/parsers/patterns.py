"""Pattern: the one form of a line pattern, for the built-in tables and for people's own (TOML)."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from agentmon.events import Scope


@dataclass(frozen=True)
class Pattern:
    """What one shape of line means.

    regex: searched in a clean line; named groups are the fields of the event (`input`, `output`, `total`, `cache_read`,
    `cache_write`, `reasoning`, `cost`, `model` of tokens; `branch`, `message`, `files`, `sha` of git). It must be
    linear on any input. needles: substrings of which every matching line holds at least one.
    scope: `call`, or `session` for a running total of `of`. input_includes / output_includes: the parts that the
    printed figure already holds (`cache_read`, `cache_write`; `reasoning`). tool: whose print it is.
    seen_in: the tool and version that it was seen in.
    """

    name: str
    kind: Literal["git", "tokens"]
    regex: str
    needles: tuple[str, ...]
    operation: str | None = None
    scope: Scope = "call"
    of: str | None = None
    input_includes: frozenset[str] = frozenset({"cache_read", "cache_write"})
    output_includes: frozenset[str] = frozenset({"reasoning"})
    tool: str | None = None
    seen_in: str | None = None

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The regex, compiled when it is first needed."""
        return re.compile(self.regex)
