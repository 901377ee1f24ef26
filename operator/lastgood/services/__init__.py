"""Gather, decide, act: what runs between the watched objects and the domain."""
