"""Words on the command line: durations, sizes, amounts, labels."""

import math
import re
import time
from typing import Any

import click

_DURATION = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_SIZE = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0**2}
_COUNT = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}


class Duration(click.ParamType[float]):
    """Seconds: `2`, `2s`, `500ms`, `1m`, `1.5h`, `30d`; at least `least`."""

    name = "duration"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?(ms|s|m|h|d|)", str(value).strip())
        seconds = float(match[1]) * _DURATION[match[2]] if match else -1.0
        if seconds < self._least or seconds <= 0:
            least = f" of at least {self._least:g}s" if self._least else ""
            self.fail(f"{value!r} is no duration{least} (try 500ms, 2s, 1m)")
        return seconds


class Moment(click.ParamType[float]):
    """A Unix time from `90s`, `10m`, `2h`, `1d` (ago), or from an ISO date and time (local, if it has no zone)."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from datetime import datetime

        text = str(value).strip()
        try:
            if text[-1:] in ("s", "m", "h", "d"):
                at = time.time() - float(text[:-1]) * _DURATION[text[-1]]
                return at if math.isfinite(at) else self.fail(f"{text!r} is no time")
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{text!r}: write 10m (s, m, h, d ago) or a time like 2026-01-31T12:00")


class Size(click.ParamType[float]):
    """MiB: `512MB`, `4GB`, `1.5g`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s?([kmgt])(?:i?b)?", str(value).strip().lower())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no size (try 512MB, 4GB)")
        return float(match[1]) * _SIZE[match[2]]


class Count(click.ParamType[int]):
    """A number: `150000`, `150k`, `2M`."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([kmgb]?)", str(value).strip().lower().replace("_", ""))
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no number (try 150000, 150k, 2M)")
        return round(float(match[1]) * _COUNT[match[2]])


class Amount(click.ParamType[float]):
    """A positive number, with or without a unit sign: `5.00`, `$5`, `300%`."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"\$?([0-9]{1,12}(?:\.[0-9]{1,9})?)%?", str(value).strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"{value!r} is no amount (try 5.00)")
        return float(match[1])


class Label(click.ParamType[tuple[str, str]]):
    """KEY=VALUE."""

    name = "k=v"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value[0], value[1]
        key, equals, text = str(value).partition("=")
        if not key or not equals:
            self.fail(f"{value!r}: write KEY=VALUE")
        return key, text
