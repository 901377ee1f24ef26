"""The target process, and reading an operator's metrics."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families


class Row(NamedTuple):
    """A line of the table that is published."""

    what: str
    figure: str
    target: str = ""
    met: bool | None = None
    """Whether the target was met in this run; None where there is none."""


def at_most(what: str, value: float, limit: float, unit: str, shape: str = ".0f") -> Row:
    """A row with a target not to go beyond."""
    return Row(what, f"{value:{shape}}{unit}", f"≤ {limit:g}{unit}", value <= limit)


class Target:
    """The target process, on the second core where there is one."""

    def __enter__(self) -> Self:
        pin = ["taskset", "-c", "1"] if (os.cpu_count() or 1) > 1 else []
        place = Path(__file__).with_name("target.py")
        self._process = subprocess.Popen([*pin, sys.executable, str(place)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.ok, self.hang, self.switch = map(int, self._process.stdout.readline().split())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(port: int) -> Samples:
    """All samples of an operator."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """Sum over all label sets that hold these labels."""
    wanted = set(labels.items())
    return sum(v for (n, l), v in samples.items() if n == name and wanted <= set(l))


def quantile(before: Samples, after: Samples, name: str, q: float) -> float:
    """This quantile in seconds, interpolated within its bucket as Prometheus does."""
    rows = sorted(
        (float(dict(labels)["le"]), value - before.get((n, labels), 0.0))
        for (n, labels), value in after.items()
        if n == f"{name}_bucket"
    )
    wanted, lower, below = q * rows[-1][1], 0.0, 0.0
    for bound, cumulated in rows:
        if cumulated >= wanted:
            return lower if bound == float("inf") else lower + (bound - lower) * (wanted - below) / (cumulated - below)
        lower, below = bound, cumulated
    return lower
