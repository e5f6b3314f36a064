"""The parsers that every run has, in the order in which they see a line."""

from collections.abc import Sequence

from agentmon.collect.parsers import Parser


def standard() -> Sequence[Parser]:
    """Fresh parsers, for one run."""
    from agentmon.collect.parsers.basic import Basic
    from agentmon.collect.parsers.git import Git
    from agentmon.collect.parsers.git_reader import GitReader

    git = GitReader()
    return (Basic(), Git(git))
