"""Where git keeps what belongs to a working tree (gitrepository-layout(5)). Light: used before the child starts."""

import os


def git_folders(worktree: str, git_dir: str | None = None) -> tuple[str, str] | None:
    """The repository's folder of a working tree and the one that it shares with other working trees; for an ordinary
    repository both are `.git`. git_dir: where git was told to look."""
    own = git_dir or os.path.join(worktree, ".git")
    if not os.path.isdir(own):
        words = first_line(own)
        if words is None or not words.startswith("gitdir: "):
            return None
        own = os.path.normpath(os.path.join(worktree, words.removeprefix("gitdir: ")))
    shared = first_line(os.path.join(own, "commondir"))
    return own, os.path.normpath(os.path.join(own, shared)) if shared else own


def first_line(path: str) -> str | None:
    """The first line of a small file, or None."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read(8192).partition(b"\n")[0]).rstrip("\r")
    except (OSError, ValueError):
        return None
