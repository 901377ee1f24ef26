"""Adapters that tell what objectives are made of: one kind of source a file."""
