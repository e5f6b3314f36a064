"""agentmon completion"""

import sys
from importlib import resources

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.option("--at", "line", hidden=True, help="The line up to the cursor: print candidates (the script asks so).")
@click.pass_context
def command(ctx: click.Context, shell: str, line: str | None) -> None:
    """TAB completes commands, options, their values, and run ids: the script for your shell.

    Behind `run --` the command completes as it would by itself.

    \b
    Examples:
      echo 'eval "$(agentmon completion bash)"' >> ~/.bashrc
      echo 'eval "$(agentmon completion zsh)"' >> ~/.zshrc
      agentmon completion fish > ~/.config/fish/completions/agentmon.fish
    """
    if line is None:
        sys.stdout.write(resources.files("agentmon.shells").joinpath(f"agentmon.{shell}").read_text("utf-8"))
        return
    from agentmon.commands.typed import answer

    try:
        text = answer(ctx.find_root().command, line)
    except Exception:  # whatever it is: at a person's prompt nobody wants to read of it
        return
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
