"""One thin file for each subcommand; its docstring is its help."""
