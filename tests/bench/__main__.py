"""`make bench`: runs all, prints, and writes docs/benchmarks.md."""

import datetime as dt
import os
import platform
import sys
from pathlib import Path

from tests.bench import cost, scale, scrape

PARTS = {
    "cost": ("Cost of a probe", cost.run),
    "scale": ("Ten thousand services", scale.run),
    "scrape": ("Scraping 2,000 series", scrape.run),
}


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "unknown processor",
    )
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def main() -> int:
    """Run the parts that are named, or all."""
    wanted = sys.argv[1:] or list(PARTS)
    lines = ["# Benchmarks", "", "Written by `make bench`. Figures are of one run on one machine: read the ratios.", ""]
    lines += [f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {_machine()}.", ""]
    for name in wanted:
        title, run = PARTS[name]
        lines += [f"## {title}", "", "| what | figure |", "|---|---|"]
        for what, figure in run():
            print(f"{what}: {figure}", flush=True)
            lines.append(f"| {what} | {figure} |")
        lines.append("")
    if wanted == list(PARTS):
        Path("docs/benchmarks.md").write_text("\n".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
