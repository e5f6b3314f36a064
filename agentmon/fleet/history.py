"""History of a fleet: the same questions that are asked of this machine's index, asked of PostgreSQL."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.rows import dict_row

from agentmon.errors import AgentmonError
from agentmon.fleet import postgres

# The index's names over our views. Nothing is computed that is not asked for: PostgreSQL sees through it.
_NAMES = """
WITH runs AS NOT MATERIALIZED (
    SELECT run_id AS id, run_id AS name, state, agent_id, team_id, labels::text AS labels, argv::text AS argv, cwd,
        host, parent_run_id, started_unix AS started, ended_unix AS ended, duration_s, exit_code, signal, reason, calls,
        input_tokens, output_tokens, total_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd,
        calls_unknown, estimated, git::text AS git, commits, cpu_time_s, peak_memory_mb, warnings, errors, alerts,
        lost_events, lost_bytes
    FROM agentmon.runs),
usage AS NOT MATERIALIZED (
    SELECT run_id AS run, agent_id AS agent, model, calls, input_tokens, output_tokens, total_tokens,
        cache_read_tokens, cache_write_tokens, reasoning_tokens, cost_usd
    FROM agentmon.usage)
"""
_DAYS = "SELECT DISTINCT floor(started_unix / 86400)::bigint FROM agentmon.run_figures"
_DAY_S = 86_400


class Fleet:
    """A database as index_query asks it."""

    has_label = "EXISTS (SELECT 1 FROM json_each_text(r.labels::json) WHERE key = ? AND value = ?)"

    def __init__(self, connection: postgres.Connection) -> None:
        self._connection = connection

    def ask(self, query: str, values: Sequence[Any]) -> Iterable[Mapping[str, Any]]:
        """The rows of an answer."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute((_NAMES + query).replace("?", "%s").encode(), values)
            return [{name: _plain(value) for name, value in row.items()} for row in cursor]

    def day(self) -> str:
        """SQL: the local day on which a run began. Which instants that is, this machine says, as it does for the
        index; PostgreSQL need not know its zone."""
        # each local day that has a run begins within two days of a day of UTC that has one
        utc = {number for (number,) in self._connection.execute(_DAYS)}
        near = sorted({number + n for number in utc for n in (-1, 0, 1)})
        if not near:
            return "NULL::text"
        starts = sorted({_midnight(number * _DAY_S + _DAY_S // 2) for number in near})
        names = ",".join(f"'{time.strftime('%Y-%m-%d', time.localtime(at))}'" for at in starts)
        return f"(ARRAY[{names}])[width_bucket(r.started, ARRAY[{','.join(map(str, starts))}]::float8[])]"


def _midnight(at: int) -> int:
    """The first second of the local day that an instant is in."""
    day = time.localtime(at)[:3]
    first = int(time.mktime((*day, 0, 0, 0, 0, 0, -1)))
    while time.localtime(first)[:3] < day:  # a day that begins at one o'clock
        first += 900
    while time.localtime(first - 1)[:3] >= day:
        first -= 900
    return first


def _plain(value: Any) -> Any:
    """Sums of whole numbers come as decimals."""
    return value if value is None or type(value) in (str, int, float, bool, list, dict) else _whole(value)


def _whole(value: Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)


@contextmanager
def open_fleet(url: str, option: str) -> Iterator[Fleet]:
    """The history in a database. Raises AgentmonError for whatever is in the way, also later on."""
    where = postgres.address(url, option)

    try:
        with closing(postgres.connect(where)) as connection:
            postgres.check(connection, where)
            yield Fleet(connection)
    except psycopg.Error as error:
        raise AgentmonError(f"{where.shown}: {postgres.words(error, where)}") from None
