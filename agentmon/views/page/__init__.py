"""The style and the script of the report's page: they go into it whole, so that it is one file."""

from importlib.resources import files


def style() -> str:
    """The CSS."""
    return files(__name__).joinpath("page.css").read_text("utf-8")


def script() -> str:
    """The JavaScript. Nothing is filled in: its hash is in the page's policy."""
    return files(__name__).joinpath("page.js").read_text("utf-8")
