"""agentmon top"""

import contextlib
import os
import shutil

import click

from agentmon import runs
from agentmon.commands import candidates
from agentmon.feeds.logs import Going, Named
from agentmon.views.board import Board
from agentmon.views.screen import Screen, is_capable
from agentmon.views.text import Ink, wants_colour
from agentmon.views.top import Choice, Frames

_TICK_S = 0.5


@click.command("top")
@click.argument("names", nargs=-1, metavar="[RUN]...", shell_complete=candidates.run_names)
@click.option("--team", shell_complete=candidates.indexed("team_id"), help="Only the runs of this team.")
@click.option("--once", is_flag=True, help="Print one frame and stop; so too where stdout is no terminal.")
def command(names: tuple[str, ...], team: str | None, once: bool) -> int:
    """Live cards of the agents at work: all runs that go on, or those named.

    RUN is a run id or a unique prefix of one, or a file.

    \b
    Examples:
      agentmon top
      agentmon top --team backend
      agentmon top --once | less
    """
    paths = [str(runs.find(name)) for name in names]
    said: list[str] = []
    board = Board(Named(paths) if paths else Going(), said.append)
    try:
        if once or not is_capable():
            return _print(board, team, said)
        return _live(board, team)
    finally:
        board.close()
        for text in said:
            click.echo(f"agentmon: {text}", err=True)


def _print(board: Board, team: str | None, said: list[str]) -> int:
    while board.poll():
        pass
    for _ in range(2):  # what is over is known once there was nothing more to read
        board.poll()
    ink = Ink(wants_colour(os.isatty(1)))
    text = "".join(f"{row.rstrip()}\n" for row in Frames(board, ink).once(team, shutil.get_terminal_size().columns))
    try:
        with open(1, "w", encoding="utf-8", errors="replace", closefd=False) as out:
            out.write(text)
    except BrokenPipeError:
        return 141
    return 0


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
