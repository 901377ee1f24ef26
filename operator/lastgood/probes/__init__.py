"""Adapters that ask services how they are: one kind of probe a file."""
