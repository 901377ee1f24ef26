"""A real one-node Kubernetes for tests and demonstrations, built from source: see README.md."""

from tests.lab.lab import Lab
from tests.lab.paths import LabError

__all__ = ["Lab", "LabError"]
