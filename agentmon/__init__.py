"""Telemetry for LLM-agent orchestrators: run any command unchanged, and write what it did."""

__version__ = "0.1.0"
