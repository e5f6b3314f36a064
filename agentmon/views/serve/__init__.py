"""Serve: the dashboard's server. Live runs over WebSocket, past ones over REST, and a static page."""
