"""`python -m agentmon`, and the entry point of the installed command."""

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
        _keep_numbers()
    from agentmon import cli

    return cli.main(inherited=inherited)


def _keep_numbers() -> None:
    """A stream that is not open stays of no use, but its number is taken: else the next socket would have it, and what
    is printed would go there."""
    for fd, wrong_way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, wrong_way)


if __name__ == "__main__":
    sys.exit(main())
