"""Benchmarks: `make bench`, or `python -m tests.bench` from the top of the checkout."""
