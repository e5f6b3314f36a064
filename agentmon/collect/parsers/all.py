"""The parsers that every run has, in the order in which they see a line."""

from collections.abc import Sequence

from agentmon.collect.parsers import Parser


def standard() -> Sequence[Parser]:
    """Fresh parsers, for one run."""
    from agentmon.collect.parsers.records import NoGit, Records
    from agentmon.collect.parsers.tokens import Tokens

    return (Records(NoGit()), Tokens())
