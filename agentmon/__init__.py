"""Telemetry for LLM-agent orchestrators: run any command unchanged, and write what it did."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentmon.wrapping import wrap

__version__ = "0.1.0"
__all__ = ["__version__", "wrap"]


def __getattr__(name: str) -> object:
    """`agentmon.wrap`, loaded when it is asked for: every command imports this package."""
    if name == "wrap":
        from importlib import import_module

        return import_module("agentmon.wrapping").wrap
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
