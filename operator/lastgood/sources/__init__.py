"""Adapters that observe services for objectives: one kind of source a file."""
