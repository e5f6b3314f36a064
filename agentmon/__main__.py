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
        _hold_standard()
    from agentmon import cli

    return cli.main(inherited=inherited)


def _hold_standard() -> None:
    """The numbers of standard streams that the caller closed are taken: else the next file or socket would have them,
    and what is printed would go there. To read or to print is an error as before; what is said on stderr is gone.
    (`run` leaves them closed: they are the command's.)"""
    for fd, name, way in ((0, "stdin", os.O_WRONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, way)
            setattr(sys, name, os.fdopen(fd, "r" if fd == 0 else "w", closefd=False))
    if isinstance(
        sys.stdout, io.TextIOWrapper
    ):  # what people named is any text, and a terminal's encoding may be small
        sys.stdout.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
