"""The user's terminal: its modes, its size, and whether we may touch it now."""

import contextlib
import fcntl
import os
import struct
import termios

_SIZE = struct.Struct("HHHH")  # rows, columns, and two that nobody uses
Size = bytes
Modes = list[int | list[bytes | int]]


class Terminal:
    """A terminal that is not ours. Its modes are as we found them whenever we do not relay for it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.modes: Modes | None = None
        with contextlib.suppress(termios.error):
            self.modes = termios.tcgetattr(fd)
        self.is_raw = False

    def foreground(self) -> bool:
        """Whether our process group is the terminal's foreground group."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return False

    def raw(self) -> None:
        """Pass every key and byte through untouched (cfmakeraw(3))."""
        if self.modes is None or self.is_raw:
            return
        with contextlib.suppress(termios.error):
            self.modes = termios.tcgetattr(self.fd)
            termios.tcsetattr(self.fd, termios.TCSANOW, raw_modes(self.modes))
            self.is_raw = True

    def restore(self) -> None:
        """Undo `raw`, unless somebody else has the terminal by now."""
        if self.is_raw and self.modes is not None:
            self.is_raw = False
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fd, termios.TCSANOW, self.modes)


def raw_modes(modes: Modes) -> Modes:
    """These modes as cfmakeraw(3) changes them."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = modes
    assert isinstance(iflag, int)
    assert isinstance(oflag, int)
    assert isinstance(cflag, int)
    assert isinstance(lflag, int)
    assert isinstance(cc, list)
    iflag &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP)
    iflag &= ~(termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON)
    oflag &= ~termios.OPOST
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cc = list(cc)
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, cc]


def ending_keys(master: int) -> bytes:
    """The bytes that now mean interrupt, quit, suspend or end-of-file on this pseudo-terminal."""
    try:
        modes = termios.tcgetattr(master)
    except termios.error:
        return b""
    lflag, cc = modes[3], modes[6]
    assert isinstance(lflag, int)
    assert isinstance(cc, list)
    names = [termios.VINTR, termios.VQUIT, termios.VSUSP] if lflag & termios.ISIG else []
    names += [termios.VEOF] if lflag & termios.ICANON else []
    return b"".join(key for key in (cc[name] for name in names) if isinstance(key, bytes) and key != b"\0")


def get_size(fd: int) -> Size | None:
    """The window size as ioctl(2) has it; None where there is none."""
    try:
        return fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * _SIZE.size)
    except OSError:
        return None


def set_size(fd: int, size: Size) -> None:
    """Give a pseudo-terminal a window size."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, size)


def open_pty(like: int | None, *, process_output: bool) -> tuple[int, int]:
    """Master (non-blocking) and slave of a new pseudo-terminal with the modes and size of `like`.

    process_output: False where the bytes still pass through the user's own terminal, which adds the CR to an LF
    itself.
    """
    master, slave = os.openpty()
    os.set_blocking(master, False)
    with contextlib.suppress(termios.error):
        modes = termios.tcgetattr(slave if like is None else like)
        if not process_output:
            assert isinstance(modes[1], int)
            modes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, modes)
    size = get_size(like) if like is not None else None
    set_size(master, size or _SIZE.pack(24, 80, 0, 0))
    return master, slave
