"""Feeds: where the lines of runs come from, for views that stay: run logs, sockets, streams of a fleet."""
