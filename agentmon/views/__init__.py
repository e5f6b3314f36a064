"""Views: renderings of the fold, for people."""
