"""`python -m agentmon`, and the entry point of the installed command."""

import gc
import io
import os
import sys


def main() -> int:
    """Start the command line."""
    import warnings

    gc.disable()  # until the command is loaded: modules are no garbage, and to look for some takes a tenth of our start
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
    from agentmon.descriptors import closed_standard

    for fd in closed_standard((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        setattr(sys, ("stdin", "stdout", "stderr")[fd], os.fdopen(fd, "r" if fd == 0 else "w", closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # what people named is any text, an encoding may be small


if __name__ == "__main__":
    sys.exit(main())
