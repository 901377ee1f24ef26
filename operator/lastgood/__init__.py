"""Lastgood: remembers which revisions of a workload were seen to be good, and goes back to them."""

__version__ = "0.1.0"
