"""`python -m agentmon`, and the entry point of the installed command."""

import sys


def main() -> int:
    """Start the command line."""
    import warnings

    warnings.simplefilter("ignore")  # PYTHONWARNINGS is meant for the command, not for us
    inherited = None
    if "run" in sys.argv[1:2]:
        from agentmon.relay import signals

        inherited = signals.hold()
    from agentmon import cli

    return cli.main(inherited=inherited)


if __name__ == "__main__":
    sys.exit(main())
