"""`python -m agentmon`, and the entry point of the installed command."""

import sys


def main() -> int:
    """Start the command line."""
    from agentmon import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
