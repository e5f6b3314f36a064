"""`python -m tests.bench`: agentmon and its peers side by side, as ratios in one table.

CPU seconds are user and system time of the whole process tree, the child's own left out; values are medians.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench.cases import CASES, Row, Sizes, missing
from tests.bench.measure import Place, become_subreaper

QUICK = Sizes(lines=20_000, repeat=1, bursts=3, starts=3, idle=1.0, log_mb=1, hostile_mb=1, runs=200)
_HEADINGS = ("case", "what", "value", "held against", "ratio", "target", "met")


def main() -> int:
    """Run the chosen cases; 1 where a target is missed and --strict is given."""
    options = _options()
    sizes = QUICK if options.quick else Sizes()
    given = {name: value for name in vars(sizes) if (value := getattr(options, name)) is not None}
    sizes = replace(sizes, **given)
    become_subreaper()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="agentmon-bench-", dir=options.dir) as folder:
        place = Place(Path(folder))
        for name in options.only or CASES:
            print(f"{name} …", file=sys.stderr, flush=True)
            rows += CASES[name](place, sizes)
        absent = missing(place)
    print(table(rows))
    if absent:
        print(f"\nnot on this machine: {', '.join(absent)}")
    return int(options.strict and any(row.met is False for row in rows))


def table(rows: Sequence[Row]) -> str:
    """All rows in columns."""
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    held = "" if row.other is None else f"{row.against} {_number(row.other)} {row.unit}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3f}" if row.ratio < 0.1 else f"{row.ratio:.2f}"
    if row.within is not None:
        target = f"≤ {row.against} + {row.within:g} {row.unit}"
    elif row.at_most is None:
        target = ""
    else:
        target = f"≤ {row.at_most:.3g}" if row.against else f"≤ {row.at_most:g} {row.unit}"
    return (
        row.case, row.what, f"{_number(row.value)} {row.unit}", held, ratio, target,
        {None: "", True: "yes", False: "NO"}[row.met],
    )  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it works, not how fast")
    parser.add_argument("--only", action="append", choices=CASES, help="this case alone; may be given several times")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("--dir", help="where the scratch folder is made (about 2 GB for a million lines)")
    default = Sizes()
    for name in vars(default):
        kind = type(getattr(default, name))
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=kind, metavar="N", help=f"[default: {getattr(default, name)}]")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
