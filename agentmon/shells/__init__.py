"""Shells: the completion scripts."""
