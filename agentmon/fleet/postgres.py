"""PostgreSQL: connections as libpq makes them, what a failure means, and our schema in a database.

Passwords come as libpq takes them: from the URL, PGPASSWORD, ~/.pgpass or a service file. None is ever shown.
"""

import os
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import psycopg

from agentmon.errors import AgentmonError

Connection = psycopg.Connection[Any]

SCHEMA = 1
SCHEMES = ("postgresql://", "postgres://")
_LOCK = 0x61676D6E  # of whoever makes or changes the schema
_OLDEST = 130000  # PostgreSQL 13, the oldest with gen_random_uuid() of its own
# A network that swallows packets is noticed; libpq's own defaults are two hours.
_DEFAULTS = {
    "connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3",
    "tcp_user_timeout": "30000", "fallback_application_name": "agentmon",
}  # fmt: skip
# What a role or a database may have set, and a transaction here cannot do with.
_SETTINGS = """
SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
       set_config('idle_in_transaction_session_timeout', '0', false), set_config('default_transaction_isolation',
       'read committed', false), set_config('synchronous_commit', CASE current_setting('synchronous_commit')
       WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)
"""
# Asked of the tables themselves: to_regclass() may answer from a cache, as it was before we waited for a lock.
_NAMESPACE = "SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'agentmon'"
_TABLE = f"SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'meta' AND relnamespace = ({_NAMESPACE})"

Fault = Literal["data", "passing"]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: what libpq takes, and what a person is shown."""

    conninfo: str
    shown: str
    secret: str | None

    def __repr__(self) -> str:
        return f"Address({self.shown})"


def address(url: str, option: str) -> Address:
    """A URL as libpq knows it. Raises AgentmonError for anything else, and where psycopg is missing."""
    if not url.startswith(SCHEMES):
        raise AgentmonError(f"{option}: write postgresql://[USER@]HOST[:PORT]/DATABASE")
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        known = {name: value for name, value in _DEFAULTS.items() if name not in parts}
        if "PGCONNECT_TIMEOUT" in os.environ:
            known.pop("connect_timeout", None)
        conninfo = make_conninfo(url, **known)
    except psycopg.Error:  # libpq's own words hold the URL, and with it the password
        raise AgentmonError(f"{option}: libpq does not understand this URL; {_FORM}") from None
    return Address(conninfo, _shown(parts), parts.get("password"))


_FORM = "write postgresql://[USER@]HOST[:PORT]/DATABASE, special characters percent-encoded"


def _shown(parts: dict[str, str]) -> str:
    """The URL without its password and its options."""
    user = f"{parts['user']}@" if parts.get("user") else ""
    host = parts.get("host") or parts.get("hostaddr", "")
    port = f":{parts['port']}" if parts.get("port") else ""
    service = f"?service={parts['service']}" if parts.get("service") else ""
    return f"postgresql://{user}{host}{port}/{parts.get('dbname', '')}{service}"


def connect(where: Address) -> Connection:
    """A connection with autocommit. Raises psycopg.Error."""
    import orjson
    from psycopg.types.json import set_json_loads

    connection = psycopg.connect(where.conninfo, autocommit=True, client_encoding="utf8")
    try:
        connection.execute(_SETTINGS)
        set_json_loads(orjson.loads, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def takes_connections(where: Address) -> bool:
    """Whether a server is there and takes connections: if we get none then, waiting does not help."""
    from psycopg import pq

    try:
        return pq.PGconn.ping(where.conninfo.encode()) == pq.Ping.OK
    except Exception:
        return False


def words(error: BaseException, where: Address) -> str:
    """What went wrong, in one line without a password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(where.secret, "***") if where.secret else text


def fault(error: psycopg.Error) -> Fault:
    """Whether the data cannot be stored, or it may go well another time: the server is away, its disk full, a right
    not granted."""
    return "data" if (error.sqlstate or "")[:2] in ("22", "23", "54") else "passing"


def prepare(connection: Connection, where: Address) -> str:
    """Make our schema, or bring an older one forward, whoever else does the same; the id of the database.

    Raises psycopg.Error, AgentmonError.
    """
    version = _version(connection)
    if version is None or version < SCHEMA:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            version = _version(connection)
            if version is None or version < SCHEMA:  # else another copy has just done it
                _bring_forward(connection, where, version)
    check(connection, where)
    row = connection.execute("SELECT id::text FROM agentmon.meta").fetchone()
    assert row is not None
    return str(row[0])


def check(connection: Connection, where: Address) -> None:
    """That our schema is there, in the form that we know. Raises AgentmonError."""
    version = _version(connection)
    if version is None:
        raise AgentmonError(f"{where.shown}: there is no history in this database; `agentmon ingest` makes one")
    if version > SCHEMA:
        raise AgentmonError(f"{where.shown}: made by a newer agentmon (schema {version}, known here: {SCHEMA})")
    if version < SCHEMA:
        raise AgentmonError(f"{where.shown}: made by an older agentmon; `agentmon ingest` brings it forward")


def _version(connection: Connection) -> int | None:
    """None where our schema is not there at all."""
    if not connection.execute(_TABLE).fetchall():
        return None
    row = connection.execute("SELECT max(version) FROM agentmon.meta").fetchone()
    return None if row is None else row[0]


def _bring_forward(connection: Connection, where: Address, version: int | None) -> None:
    """Step by step from version to version; the views are those of the last."""
    info = connection.info
    if info.server_version < _OLDEST:
        raise AgentmonError(f"{where.shown}: PostgreSQL 13 or newer is needed")
    if info.parameter_status("server_encoding") != "UTF8":
        raise AgentmonError(f"{where.shown}: not a UTF-8 database; make one with CREATE DATABASE … ENCODING 'UTF8'")
    if not connection.execute(_NAMESPACE).fetchall():  # else an administrator made it, and we may not be allowed to
        connection.execute("CREATE SCHEMA agentmon")
    for step in range(1 if version is None else version + 1, SCHEMA + 1):
        connection.execute(_sql(f"schema_{step}.sql"))
    connection.execute(_sql("views.sql"))
    connection.execute("UPDATE agentmon.meta SET version = %s", (SCHEMA,))


def _sql(name: str) -> bytes:
    return resources.files("agentmon.fleet").joinpath(name).read_bytes()
