"""agentmon top"""

import contextlib
import os
import shutil

import click

from agentmon import runs
from agentmon.commands import candidates
from agentmon.commands.access import access, from_server
from agentmon.commands.output import say, write
from agentmon.feeds.feed import Feeds
from agentmon.feeds.logs import Going, Named
from agentmon.views.board import Board
from agentmon.views.screen import Screen, is_capable
from agentmon.views.text import Ink, wants_colour
from agentmon.views.top import Choice, Frames

_TICK_S = 0.5


@click.command("top")
@click.argument("names", nargs=-1, metavar="[RUN]...", shell_complete=candidates.run_names)
@click.option("--team", shell_complete=candidates.indexed("team_id"), help="Only the runs of this team.")
@from_server
@click.option("--once", is_flag=True, help="Print one frame and stop; so too where stdout is no terminal.")
def command(
    names: tuple[str, ...], team: str | None, source: str | None, creds: str | None, tls_ca: str | None,
    tls_cert: str | None, tls_key: str | None, once: bool,
) -> int:  # fmt: skip
    """Live cards of the agents at work: all runs that go on, or those named.

    RUN is a run id or a unique prefix of one, or a file. With --from, the runs of a fleet: those that go on, or ended a
    moment ago; with --team the server gives only that team's.

    \b
    Examples:
      agentmon top
      agentmon top --team backend
      agentmon top --once | less
      agentmon top --from nats://nats.example.org --team backend
    """
    said: list[str] = []
    feeds: Feeds
    if source is not None:
        from agentmon.feeds.nats import Fleet

        feeds = fleet = Fleet(access(source, creds, tls_ca, tls_cert, tls_key), said.append, team, names)
    else:
        fleet = None
        paths = [str(runs.find(name)) for name in names]
        feeds = Named(paths) if paths else Going()
    board = Board(feeds, said.append)
    try:
        if once or not is_capable():
            if fleet is not None:
                fleet.wait()
            return _print(board, team, said)
        return _live(board, team)
    finally:
        board.close()
        for text in said:
            say(text)


def _print(board: Board, team: str | None, said: list[str]) -> int:
    while board.poll():
        pass
    for _ in range(2):  # what is over is known once there was nothing more to read
        board.poll()
    ink = Ink(wants_colour(os.isatty(1)))
    text = "".join(f"{row.rstrip()}\n" for row in Frames(board, ink).once(team, shutil.get_terminal_size().columns))
    return write(text)


def _live(board: Board, team: str | None) -> int:
    choice = Choice(team=team)
    frames = Frames(board, Ink(wants_colour(True)))
    with contextlib.suppress(OSError), Screen() as screen:  # OSError: the terminal went away
        while True:
            more = board.poll()
            screen.show(frames.frame(choice, *screen.size))
            for key in screen.keys(0.0 if more else _TICK_S):
                if not choice.press(key):
                    return 0
            if screen.ended is not None:
                return 128 + screen.ended
    return 129
