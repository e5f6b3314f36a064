"""`python -m agentmon`, and the entry point of the installed command."""

import io
import os
import sys


def main() -> int:
    """Start the command line."""
    import warnings

    warnings.simplefilter("ignore")  # PYTHONWARNINGS is meant for the command, not for us
    inherited = None
    if "run" in sys.argv[1:2]:
        from agentmon.relay import signals

        inherited = signals.hold()
    else:
        _open_standard()
    from agentmon import cli

    return cli.main(inherited=inherited)


def _open_standard() -> None:
    """Standard descriptors that the caller closed lead nowhere: else a file that we open would take their place, and
    what is printed would end up in it. (`run` leaves them closed: they are the command's.)"""
    from agentmon.descriptors import closed_standard

    for fd in closed_standard():
        file = os.fdopen(fd, "r" if fd == 0 else "w", closefd=False)
        setattr(sys, ("stdin", "stdout", "stderr")[fd], file)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="replace"
        )  # what people named is any text, and a terminal's encoding may be small


if __name__ == "__main__":
    sys.exit(main())
