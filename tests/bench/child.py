"""The child that is run bare and wrapped. It tells what it used itself, so that this can be subtracted."""

import json
import mmap
import os
import resource
import sys
import time


def feed(data: str, report: str, size: str) -> None:
    """Write the file `data` to stdout, `size` bytes at a time."""
    with open(data, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view, step = memoryview(mapped), int(size)
        begun = time.monotonic()
        at = 0
        while at < len(view):
            at += os.write(1, view[at : at + step])
        wall = time.monotonic() - begun
        view.release()
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open(report, "w") as file:
        json.dump({"cpu": used.ru_utime + used.ru_stime, "wall": wall}, file)


def stamps(bursts: str, lines: str, pause: str, processes: str) -> None:
    """Write `bursts` times `lines` lines that hold the time of their writing (monotonic ns), `pause` seconds apart,
    while `processes` others sleep."""
    pids = [os.posix_spawnp("sleep", ["sleep", "1000"], os.environ) for _ in range(int(processes))]
    time.sleep(0.3)  # the wrapper has seen us by now
    count, clock, write = int(lines), time.monotonic_ns, os.write
    for _ in range(int(bursts)):
        for _ in range(count):
            write(1, b"%d INFO crew.worker: a line of about as many bytes as orchestrators print\n" % clock())
        time.sleep(float(pause))
    for pid in pids:
        os.kill(pid, 9)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    os._exit(0)
