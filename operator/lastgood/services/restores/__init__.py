"""Restores: gathered, decided, done and told one thing at a time."""
