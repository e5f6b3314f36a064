"""Whose connection: the process at the other end of a loopback connection, from Linux's /proc."""

import os


def pid_of_peer(port: int, our_port: int) -> int | None:
    """The process of ours that holds the connection from 127.0.0.1:port to our_port; None where nothing tells."""
    inode = _inode(port, our_port)
    if inode is None:
        return None
    link = f"socket:[{inode}]"
    own = os.getuid()
    try:
        pids = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    except OSError:
        return None
    for pid in pids:  # the newest first: it is most likely one of them
        folder = f"/proc/{pid}/fd"
        try:
            if os.stat(folder).st_uid != own:
                continue
            if any(_link(f"{folder}/{name}") == link for name in os.listdir(folder)):
                return pid
        except OSError:
            continue
    return None


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:  # closed since
        return None


def _inode(port: int, our_port: int) -> str | None:
    ends = (f":{port:04X}", f"0100007F:{our_port:04X}")
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):  # a runtime that opens dual-stack sockets is in the second
        try:
            with open(table, encoding="ascii", errors="replace") as file:
                for line in file:
                    words = line.split()
                    if len(words) > 9 and words[1].endswith(ends[0]) and words[2].endswith(ends[1]):
                        return words[9] if words[9] != "0" else None
        except OSError:
            continue
    return None
