"""`agentmon ingest` and `history --db` between a real nats-server and a real PostgreSQL that die and come back."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import nats
import psycopg
import pytest
from run_logs import Log
from wrapper import ROOT, exit_code, until

from agentmon.fleet import subjects
from tests import nats_server
from tests.nats_server import NatsServer
from tests.postgres_server import PASSWORD, Postgres

LONG_AGO = 1_700_000_000.0
_DIES = """
import os, signal
from agentmon.fleet.consuming import Consumer
async def die(self, held):
    os.kill(os.getpid(), signal.SIGKILL)
Consumer.ack = die
"""


class Fleet:
    """A machine with run logs, a NATS server, and a database."""

    def __init__(self, folder: Path, server: NatsServer, postgres: Postgres) -> None:
        self.nats, self.postgres = server, postgres
        self.database = postgres.database()
        self.url = postgres.url(self.database)
        self.runs = folder / "state" / "agentmon" / "runs"
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AGENTMON_", "PYTHON", "PG"))},
            "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder),
        }  # fmt: skip
        self._started: list[Popen[str]] = []

    def log(self, name: str, calls: int = 10, team: str = "blue", code: int | None = 0) -> None:
        log = Log(self.runs / f"{name}.ndjson", team=team)
        log.now = LONG_AGO
        log.started()
        for number in range(calls):
            log.called(cost=0.1)
            log.said(f"line {number} of {name}")
            log.used(number, 100 + number)
        log.committed()
        if code is not None:
            log.ended(code)
        log.release()

    def start(self, *words: str, before: str = "") -> Popen[str]:
        argv = [sys.executable, "-m", "agentmon", *words]
        if before:
            program = f"{before}\nimport sys\nfrom agentmon.cli import main\nsys.exit(main({[*words]!r}))"
            argv = [sys.executable, "-c", program]
        self._started.append(Popen(argv, env=self.env, stdout=PIPE, stderr=PIPE, text=True))
        return self._started[-1]

    def agentmon(self, *words: str, code: int = 0) -> tuple[str, str]:
        process = self.start(*words)
        out, said = process.communicate(timeout=60)
        assert exit_code(process) == code, said
        return out, said

    def ship(self) -> None:
        self.agentmon("ship", "--to", self.nats.url)

    def ingest(self, *words: str, **more: str) -> Popen[str]:
        return self.start("ingest", "--from", self.nats.url, "--to", self.url, *words, **more)

    def ingested(self, *words: str) -> str:
        return self.agentmon("ingest", "--from", self.nats.url, "--to", self.url, "--once", *words)[1]

    def ask(self, query: str) -> list[tuple]:
        return self.postgres.ask(query, self.database)

    def stored(self) -> int:
        ((known,),) = self.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'agentmon' AND tablename = 'events'")
        return self.ask("SELECT count(*) FROM agentmon.events")[0][0] if known else -1

    def recorded(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.runs.iterdir())

    def agrees(self, *more: list[str]) -> None:
        """Every event is there as it was recorded; and the history is that of the run logs. more: ways to ask."""
        lines = [json.loads(line) for path in self.runs.iterdir() for line in path.read_bytes().splitlines()]
        names = ("run_id", "seq", "team_id", "agent_id", "event", "timestamp", "data")
        rows = self.ask("SELECT run_id, seq, team_id, agent_id, event, unix_time, data FROM agentmon.events")
        order = lambda row: row[:2]  # noqa: E731
        assert sorted(rows, key=order) == sorted((tuple(line[n] for n in names) for line in lines), key=order)
        for words in (["--json"], *more):
            assert self.agentmon("history", "--db", self.url, *words) == self.agentmon("history", *words), words

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


@pytest.fixture
def fleet(tmp_path: Path, postgres_server: Postgres) -> Iterator[Fleet]:
    with nats_server.running(tmp_path / "nats") as server:
        made = Fleet(tmp_path, server, postgres_server)
        try:
            yield made
        finally:
            made.close()


def publish(url: str, bodies: list[bytes], subject: str = f"{subjects.PREFIX}.blue.crew.llm_call") -> None:
    """Messages that no shipper would send."""

    async def work() -> None:
        connection = await nats.connect(url, connect_timeout=60)
        stream = connection.jetstream(timeout=60)
        for body in bodies:
            await stream.publish(subject, body)
        await connection.close()

    asyncio.run(work())


def test_from_run_logs_to_the_database(fleet):
    for name, team, code in (("a", "blue", 0), ("b", "red team.*>", 3), ("c", "blue", None)):
        fleet.log(name, team=team, code=code)
    fleet.ship()
    recorded = fleet.recorded()
    assert f"{recorded} events stored" in fleet.ingested()
    fleet.agrees([], ["--csv", "-n", "2"], ["--by", "day", "--json"], ["--by", "model"], ["--by", "team", "--csv"])
    assert ": 0 events stored" in fleet.ingested()
    fleet.log("d", calls=3)
    fleet.ship()
    assert f"{fleet.recorded() - recorded} events stored" in fleet.ingested()
    fleet.agrees()


def test_a_database_of_one_team_and_one_of_all(fleet):
    fleet.log("a", team="blue")
    fleet.log("b", team="red")
    fleet.ship()
    other = fleet.postgres.url(fleet.postgres.database())
    assert fleet.ingested("--team", "red").startswith("agentmon: 33 events")
    assert fleet.ask("SELECT DISTINCT team_id FROM agentmon.events") == [("red",)]
    fleet.agentmon("ingest", "--from", fleet.nats.url, "--to", other, "--once")
    out, _ = fleet.agentmon("history", "--db", other, "--json")
    assert {row["run_id"] for row in json.loads(out)} == {"a", "b"}
    assert fleet.ingested().startswith("agentmon: 33 events")
    fleet.agrees()


def test_a_consumer_of_another_name_begins_at_the_beginning(fleet):
    fleet.log("a")
    fleet.ship()
    assert "33 events stored" in fleet.ingested("--durable", "mine")
    said = fleet.ingested()
    assert ": 0 events stored" in said
    assert "33 were known" in said
    fleet.agrees()


def test_a_consumer_that_gives_something_else(fleet):
    """It is never altered; but nobody is to believe that a team has no events."""
    fleet.log("a", team="blue")
    fleet.log("b", team="red")
    fleet.ship()
    fleet.ingested("--durable", "mine", "--team", "red")
    _, said = fleet.agentmon(
        "ingest", "--from", fleet.nats.url, "--to", fleet.url, "--durable", "mine", "--team", "blue", code=125
    )
    assert "--durable mine: that consumer of AGENTMON gives agentmon.v1.red.>, not agentmon.v1.blue.>" in said
    assert "gives agentmon.v1.red.> and nothing else" in fleet.ingested("--durable", "mine")


def test_killed_between_commit_and_acknowledgement(fleet):
    fleet.log("a", calls=50)
    fleet.ship()
    killed = fleet.ingest("--batch", "40", "--ack-wait", "1s", before=_DIES)
    assert exit_code(killed) == 128 + signal.SIGKILL
    assert 0 < fleet.stored() <= 40
    said = fleet.ingested("--batch", "40")
    assert "were known" in said
    fleet.agrees()


def test_many_copies_of_which_some_are_killed(fleet):
    for number in range(6):
        fleet.log(f"r{number}", calls=200)
    fleet.ship()
    words = ("--batch", "100", "--ack-wait", "1s")
    copies = [fleet.ingest(*words) for _ in range(3)]
    until(lambda: fleet.stored() > 300, "the first events")
    copies[0].kill()
    until(lambda: fleet.stored() > 1000, "more events")
    copies[1].kill()
    copies.append(fleet.ingest(*words))
    until(lambda: fleet.stored() == fleet.recorded(), "all events")
    for copy in copies[2:]:
        assert "ingesting" in copy.stderr.readline()
        copy.terminate()
        assert exit_code(copy) == 0, copy.stderr.read()
    fleet.ingested()
    fleet.agrees()


def test_postgresql_dies_and_comes_back(fleet):
    for number in range(4):
        fleet.log(f"r{number}", calls=200)
    fleet.ship()
    copy = fleet.ingest("--batch", "50")
    until(lambda: fleet.stored() > 100, "the first events")
    fleet.postgres.kill()
    fleet.log("later")
    fleet.ship()
    fleet.postgres.start()
    until(lambda: fleet.stored() == fleet.recorded(), "all events")
    copy.terminate()
    assert exit_code(copy) == 0
    assert "goes on" in copy.stderr.read()
    fleet.ingested()
    fleet.agrees()


def test_postgresql_is_away_at_first(fleet):
    fleet.log("a")
    fleet.ship()
    fleet.postgres.stop()
    copy = fleet.ingest()
    while "trying again" not in (line := copy.stderr.readline()):
        assert line
    fleet.postgres.start()
    until(lambda: fleet.stored() == fleet.recorded(), "all events")


_ASKED = """
import os, time
from agentmon.fleet import postgres
ask = postgres.takes_connections
def takes_connections(where):
    open("{0}.asked", "w").close()
    while not os.path.exists("{0}.started"):
        time.sleep(0.01)
    return ask(where)
postgres.takes_connections = takes_connections
"""


def test_postgresql_starts_just_after_a_connection_has_failed(fleet, tmp_path):
    """That is no server which refuses us."""
    fleet.log("a")
    fleet.ship()
    fleet.postgres.stop()
    copy = fleet.ingest(before=_ASKED.format(tmp_path / "server"))
    until((tmp_path / "server.asked").exists, "a connection that has failed")
    fleet.postgres.start()
    (tmp_path / "server.started").touch()
    until(lambda: copy.poll() is not None or fleet.stored() == fleet.recorded(), "all events")
    assert copy.poll() is None, copy.stderr.read()


def test_told_to_stop_while_postgresql_is_away(fleet):
    fleet.log("a")
    fleet.ship()
    fleet.ingested()
    copy = fleet.ingest()
    until(lambda: fleet.ask("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'agentmon'") == [(1,)])
    fleet.postgres.kill()
    try:
        fleet.log("b")
        fleet.ship()
        while "trying again" not in (line := copy.stderr.readline()):
            assert line
        copy.terminate()
        assert exit_code(copy) == 0
    finally:
        fleet.postgres.start()
    fleet.ingested()
    fleet.agrees()


def test_a_slow_database_keeps_what_it_works_on(fleet):
    """A transaction that takes longer than the server waits for an acknowledgement: nothing is delivered twice."""
    fleet.log("a")
    fleet.ship()
    fleet.ingested()
    fleet.log("b")
    fleet.ship()
    with psycopg.connect(fleet.url) as other:
        other.execute("LOCK TABLE agentmon.events IN EXCLUSIVE MODE")
        copy = fleet.ingest("--once", "--ack-wait", "8s")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND now() - waitstart > interval '9 s'"
        until(lambda: fleet.ask(waiting) == [(1,)], "a long wait")
    _, said = copy.communicate(timeout=60)
    assert said.startswith("agentmon: 33 events stored")
    assert "known" not in said
    fleet.agrees()


def test_the_nats_server_dies_and_comes_back(fleet):
    for number in range(4):
        fleet.log(f"r{number}", calls=200)
    fleet.ship()
    copy = fleet.ingest("--batch", "50", "--ack-wait", "1s")
    until(lambda: fleet.stored() > 100, "the first events")
    fleet.nats.kill()
    fleet.nats.start()
    fleet.log("later")
    fleet.ship()
    until(lambda: fleet.stored() == fleet.recorded(), "all events")
    copy.terminate()
    assert exit_code(copy) == 0
    fleet.ingested()
    fleet.agrees()


def test_it_waits_for_the_server_and_for_the_stream(fleet):
    fleet.nats.stop()
    copy = fleet.ingest()
    while "trying again" not in (line := copy.stderr.readline()):
        assert line
    fleet.nats.start()
    while "no stream has" not in (line := copy.stderr.readline()):
        assert line
    fleet.log("a")
    fleet.ship()
    until(lambda: fleet.stored() == fleet.recorded(), "all events")


def test_poison_in_the_stream_stops_nobody(fleet):
    fleet.log("a")
    fleet.ship()
    line = (fleet.runs / "a.ndjson").read_bytes().splitlines()[1]
    poison = [b"", b"\xff\xfe", b"{}", b"[" * 5000, line.replace(b'"seq":2', b'"seq":99999999999999999999'),
              line.replace(b'"crew"', b'"\\ud800"'), line.replace(b'"timestamp":1', b'"timestamp":1e9')]  # fmt: skip
    publish(fleet.nats.url, [*poison, line.replace(b'"seq":2', b'"seq":77').replace(b"sonnet", b"son\\u0000net")])
    fleet.log("b")
    fleet.ship()
    said = fleet.ingested()
    assert f"{len(poison)} messages are no events" in said
    assert "1 with characters replaced" in said
    assert fleet.stored() == fleet.recorded() + 1
    assert fleet.ask("SELECT count(*) FROM agentmon.rejects") == [(len(poison),)]
    assert fleet.ask("SELECT model FROM agentmon.usage WHERE model LIKE '%\ufffd%'") == [("claude-son\ufffdnet-4-5",)]


def test_large_messages_come_in_parts(fleet):
    """More than is asked for at once, of messages as large as the server takes them."""
    fleet.log("a")
    fleet.ship()
    publish(fleet.nats.url, [b"%d" % number + b"x" * 1_000_000 for number in range(80)])
    fleet.log("b")
    fleet.ship()
    fleet.ingested()
    assert fleet.ask("SELECT count(*), min(size), max(length(body)) FROM agentmon.rejects") == [(80, 1_000_001, 65_536)]
    fleet.agrees()


def test_passwords_come_as_libpq_takes_them(fleet, tmp_path):
    fleet.log("a")
    fleet.ship()
    fleet.ask(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'") if not fleet.ask(
        "SELECT 1 FROM pg_roles WHERE rolname = 'app'") else None  # fmt: skip
    fleet.ask(f"GRANT CREATE ON DATABASE {fleet.database} TO app")
    shown = f"postgresql://app@127.0.0.1:{fleet.postgres.port}/{fleet.database}"
    plain = fleet.postgres.tcp_url(fleet.database, password=None)
    wrong = fleet.postgres.tcp_url(fleet.database, password="wr0ng")
    for words in (["ingest", "--from", fleet.nats.url, "--once", "--to"], ["history", "--db"]):
        _, said = fleet.agentmon(*words, wrong, code=125)
        assert said.startswith(f"agentmon: {shown}: ")
        assert "password authentication failed" in said
        assert "wr0ng" not in said
        _, said = fleet.agentmon(*words, plain, code=125)
        assert "no password supplied" in said
    fleet.env["PGPASSWORD"] = PASSWORD
    _, said = fleet.agentmon("ingest", "--from", fleet.nats.url, "--once", "--to", plain)
    assert said == f"agentmon: {fleet.recorded()} events stored in {shown}\n"
    del fleet.env["PGPASSWORD"]
    passfile = tmp_path / "pass"
    passfile.write_text(f"127.0.0.1:*:*:app:{PASSWORD}\n")
    passfile.chmod(0o600)
    fleet.env["PGPASSFILE"] = str(passfile)
    out, _ = fleet.agentmon("history", "--db", plain, "--json")
    assert [row["run_id"] for row in json.loads(out)] == ["a"]
    del fleet.env["PGPASSFILE"]
    services = tmp_path / "services"
    services.write_text(
        f"[fleet]\nhost=127.0.0.1\nport={fleet.postgres.port}\nuser=app\ndbname={fleet.database}\npassword={PASSWORD}\n"
    )
    fleet.env["PGSERVICEFILE"] = str(services)
    assert fleet.agentmon("history", "--db", "postgresql:///?service=fleet", "--json")[0] == out
    assert fleet.agentmon("history", "--db", fleet.postgres.tcp_url(fleet.database), "--json")[0] == out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "--from", "nats://x", "--to", "mysql://u:s3cret@h/d"], "--to: write postgresql://"),
        (["ingest", "--from", "http://u:s3cret@x", "--to", "postgresql://h/d"], "not an address of a NATS server"),
        (["ingest", "--to", "postgresql://h/d"], "Missing option '--from'"),
        (["history", "--db", "postgresql://u:s3cret@h/d%zz"], "--db: libpq does not understand"),
        (["history", "--db", "postgresql://u:s3cret@127.0.0.1:1/d"], "refused"),
        (["history", "--db", "postgresql://h/d", "prune"], "--db is for reading"),
    ],
)
def test_what_a_person_did_wrong(fleet, words, said):
    out, err = fleet.agentmon(*words, code=125)
    assert said in err
    assert err.count("\n") == 1
    assert "s3cret" not in out + err


def test_a_database_without_a_history(fleet):
    _, said = fleet.agentmon("history", "--db", fleet.url, code=125)
    assert "there is no history in this database" in said
    _, said = fleet.agentmon("history", "--db", fleet.postgres.url("nowhere"), code=125)
    assert 'database "nowhere" does not exist' in said
    assert fleet.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'agentmon'") == [(0,)]


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&-", "<&- >&-"])
def test_an_output_that_is_full_or_not_open(fleet, redirection):
    """One line, and nothing goes to where the number of a closed stream would be used again: a server's socket."""
    fleet.log("a")
    fleet.ship()
    fleet.ingested()
    for words in (["history", "--db", fleet.url], ["tail", "--from", fleet.nats.url],
                  ["top", "--once", "--from", fleet.nats.url]):  # fmt: skip
        line = shlex.join([sys.executable, "-m", "agentmon", *words])
        done = subprocess.run(["sh", "-c", f"{line} {redirection}"], env=fleet.env, capture_output=True, timeout=60)
        assert done.returncode == 125
        assert done.stdout == b""
        if "2>" not in redirection:
            (said,) = done.stderr.decode().splitlines()
            assert said.startswith("agentmon: stdout: ")
    assert ": 0 events stored" in fleet.ingested()


def test_without_its_extra(fleet):
    blocked = "import sys\nsys.modules['psycopg'] = None"
    for words in (
        ["ingest", "--from", "nats://x", "--to", "postgresql://h/d"],
        ["history", "--db", "postgresql://h/d"],
    ):
        process = fleet.start(*words, before=blocked)
        _, said = process.communicate(timeout=60)
        assert (exit_code(process), said.count("\n")) == (125, 1)
        assert "extra 'postgres'" in said


def test_it_listens_to_signals_at_once(fleet):
    copy = fleet.ingest()
    while "ingesting" not in (line := copy.stderr.readline()):
        assert line
    copy.send_signal(signal.SIGINT)
    assert exit_code(copy) == 130
