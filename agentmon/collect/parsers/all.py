"""The parsers that every run has, in the order in which they see a line."""

from collections.abc import Callable, Sequence

from agentmon.collect.parsers import Parser
from agentmon.collect.parsers.patterns import Matched, Pattern


def standard(
    own: Sequence[Pattern] = (), *, notice: Callable[[str], None] = lambda _: None, matched: Matched | None = None
) -> Sequence[Parser]:
    """Fresh parsers, for one run.

    own: people's own patterns. notice: told once what they should know. matched: hears which pattern matched.
    """
    from agentmon.collect.parsers.git import Git
    from agentmon.collect.parsers.git_reader import GitReader
    from agentmon.collect.parsers.quotes import Unquoted
    from agentmon.collect.parsers.records import Records
    from agentmon.collect.parsers.tokens import Tokens

    git = GitReader()
    parsers: Sequence[Parser] = (Unquoted(Records(git)), Unquoted(Tokens(matched)), Git(git))
    if not own:
        return parsers
    from agentmon.collect.parsers.own import Own

    return (Own(own, parsers, notice, matched),)


def builtin() -> Sequence[Pattern]:
    """The patterns that the built-in parsers read from tables."""
    from agentmon.collect.parsers.git_prints import PATTERNS
    from agentmon.collect.parsers.token_patterns import TOKENS

    return (*PATTERNS, *TOKENS)
