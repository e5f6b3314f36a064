"""The hook: a folder for PYTHONPATH. Its modules run inside of other programs and import nothing of this package."""
