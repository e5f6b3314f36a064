"""To come."""


def prepare(*_: object) -> None:
    """Not here yet."""
