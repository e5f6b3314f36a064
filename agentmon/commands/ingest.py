"""agentmon ingest"""

import asyncio
import signal

import click

from agentmon.commands.access import Name, access, reached
from agentmon.commands.extras import extra
from agentmon.commands.output import say
from agentmon.commands.words import Duration


@click.command("ingest")
@click.option("--from", "source", required=True, metavar="URL", help="nats://[USER:PASSWORD@]HOST[:PORT], tls://…; "
              "several servers of one cluster are parted by commas.")  # fmt: skip
@click.option("--to", required=True, metavar="URL", help="postgresql://[USER@]HOST[:PORT]/DATABASE. The password comes "
              "from PGPASSWORD, ~/.pgpass or a service file, as with psql.")  # fmt: skip
@click.option("--team", help="Only this team's events.")
@click.option("--once", is_flag=True, help="End where nothing is left; by default it goes on until stopped.")
@click.option("--batch", type=click.IntRange(1, 20_000), default=2000, metavar="N",
              help="Messages of one transaction, at most. [default: 2000]")  # fmt: skip
@click.option("--ack-wait", type=Duration(1.0), default="5s", metavar="TIME", help="A consumer that is made: after so "
              "long, what a copy that died has not acknowledged goes to another. [default: 5s]")  # fmt: skip
@click.option(
    "--durable", type=Name(), metavar="NAME", help="The consumer's name. [default: one of the database's own]"
)
@reached
@click.option("-q", "--quiet", is_flag=True, help="Only say what went wrong.")
def command(
    source: str, to: str, team: str | None, once: bool, batch: int, ack_wait: float, durable: str | None,
    creds: str | None, tls_ca: str | None, tls_cert: str | None, tls_key: str | None, quiet: bool,
) -> int:  # fmt: skip
    """Store a fleet's events in PostgreSQL, from the NATS server that machines ship to.

    Tables and views are made in the schema `agentmon` of the database. An event is stored once however often it comes,
    and acknowledged when it is committed. Start as many copies as you like: they share the work.

    \b
    Examples:
      agentmon ingest --from nats://nats.example --to postgresql://db.example/x
      agentmon ingest --once --from tls://me:pw@n.example --to postgresql:///x
    """
    with extra("postgres"):
        from agentmon.fleet.postgres import address
    where = access(source, creds, tls_ca, tls_cert, tls_key)
    target = address(to, "--to")
    from agentmon.fleet.ingesting import Ingester, Wanted

    wanted = Wanted(team, durable, batch, ack_wait, once)
    heard = 0

    async def ingest() -> Ingester:
        stop = asyncio.Event()

        def hear(number: int) -> None:
            nonlocal heard
            heard = number
            loop.remove_signal_handler(number)  # the second one ends us at once, and costs nothing but repeats
            stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, hear, number)
        if not (quiet or once):
            say(f"ingesting from {where.name} to {target.shown}")
        ingester = Ingester(where, target, wanted, say, stop)
        await ingester.run()
        return ingester

    count = asyncio.run(ingest()).count
    if not quiet:
        known = f", {count.known:,} were known" if count.known else ""
        cleaned = f", {count.cleaned:,} with characters replaced" if count.cleaned else ""
        say(f"{count.stored:,} events stored in {target.shown}{known}{cleaned}")
    return 128 + heard if heard == signal.SIGINT or (heard and once) else 0
