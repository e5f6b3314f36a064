"""agentmon schema"""

import sys
from importlib import resources

import click
import orjson


@click.command("schema")
@click.option("--typescript", is_flag=True, help="TypeScript types instead.")
def command(typescript: bool) -> None:
    """The JSON Schema of the events.

    \b
    Examples:
      agentmon schema > events.schema.json
      agentmon schema --typescript > events.ts
    """
    text = resources.files("agentmon").joinpath("schema.json").read_text("utf-8")
    if typescript:
        from agentmon import schema

        text = schema.typescript(orjson.loads(text))
    sys.stdout.write(text)
