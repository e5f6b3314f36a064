"""What a person did wrong, or what cannot be set up: one line on stderr, never a traceback."""

USAGE_EXIT = 125
NOT_EXECUTABLE_EXIT = 126
NOT_FOUND_EXIT = 127


class AgentmonError(Exception):
    """A failure to tell the user in one line: what, where, what to do.

    `exit_code` follows env(1) and docker-run(1): 125 for the wrapper's own failure, 126 for a command
    that cannot be executed, 127 for one that is not found.
    """

    def __init__(self, message: str, exit_code: int = USAGE_EXIT) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
