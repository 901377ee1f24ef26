"""`make bench`: runs all, prints, and writes docs/benchmarks.md."""

import datetime as dt
import os
import platform
import sys
from pathlib import Path

from tests.bench import backups, cost, history, objectives, scale, scrape

PARTS = {
    "cost": ("Cost of a probe", cost.run),
    "objectives": ("Objectives", objectives.run),
    "scrape": ("Scraping 2,000 series", scrape.run),
    "history": ("Thirty days of minutes", history.run),
    "backups": ("Backups", backups.run),
    "scale": ("Ten thousand services", scale.run),
}

NOTES = {
    "cost": (
        "One HTTP request with a JSON assertion on a fresh connection. Beside it in the same run, in the same ticks, a\n"
        "bare protocol that writes the request, cuts the answer up by hand and reads the JSON: no deadline, no limits, no\n"
        "reasons, no metrics. Rounds alternate; medians. The target runs in a process of its own."
    ),
    "objectives": (
        "No I/O: samples into windows, windows to verdicts. The sampling itself, and what follows a flip, are not in it."
    ),
    "scrape": (
        "An endpoint on loopback, in a process of its own, with 2,000 series in Prometheus' text format. CPU of a scrape, from\n"
        "the request to the sample; beside it the parsers alone, over the same page."
    ),
    "history": (
        "SQLite on this machine's disk. A tenth of 10,000 services with three indicators each is written for some hours, as\n"
        "the operator does minute by minute; what is called *on paper* follows from that and was not measured."
    ),
    "backups": (
        "Dumps: a table of text on PostgreSQL 15, and pgbench's, whose rows are mostly blanks that a compressing pg_dump makes\n"
        "nothing of. Physical and log: pgbench's on PostgreSQL 18 and 15. The jobs are the processes that pods run: Python's\n"
        "start is in it, and restic's, which derives its key at each call (half a second; a dump's job makes six, an increment's five). A\n"
        "dump's job also counts and sums up all rows, and reads back what it stored; a restore compares both. The bare tools do\n"
        "none of that. The repository was made before. Rounds alternate with the bare tools; medians. Memory is the\n"
        "most that a job and all that it started had at once, what is shared by proportion. A commit counts as received when\n"
        "the server has the receiver's word that it is on disk."
    ),
    "scale": (
        "One replica, etcd and a real API server on the same machine, which is part of each figure. Each service has\n"
        "one HTTP+JSON probe every 30 s at an address of its own, a complete Deployment and, after the first start, a\n"
        "good revision. *Settled* is the time from the start of a process, with everything declared and told by one before\n"
        "it, until each service was read, judged once and put on the schedule; Python's own start and the Lease are in it.\n"
        "*Start lag* is how late a probe starts, quantiles interpolated within the buckets of the metric. The operator\n"
        "starts probes in ticks of 50 ms. In the last part one revision a second breaks, each in a Deployment of its own, "
        "and works again ten seconds later."
    ),
}


DOCUMENT = Path("docs/benchmarks.md")
HEAD = (
    "# Benchmarks\n\nWritten by `make bench`, or part by part by `make bench PART=NAME`. Figures of one part are of one run"
    " on one machine:\nread the ratios."
)


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "unknown processor",
    )
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def _measured(name: str) -> str:
    """One part, run and written down."""
    title, run = PARTS[name]
    load = os.getloadavg()[0]
    lines = [f"## {title}", "", NOTES[name], ""]
    lines += [f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {_machine()}; load when it began {load:.1f}.", ""]
    lines += ["| what | figure | target | |", "|---|---|---|---|"]
    for what, figure, target, met in run():
        verdict = {True: "met", False: "missed", None: ""}[met]
        print(f"{what}: {figure} {target and f'({target}: {verdict})'}", flush=True)
        lines.append(f"| {what} | {figure} | {target} | {verdict} |")
    return "\n".join(lines)


def main() -> int:
    """Run the parts that are named, or all; each takes the place of what an earlier run has written of it."""
    sections = {}
    if DOCUMENT.exists():
        titles = {title: name for name, (title, _) in PARTS.items()}
        for section in DOCUMENT.read_text(encoding="utf-8").split("\n## ")[1:]:
            title = section.partition("\n")[0]
            if title in titles:
                sections[titles[title]] = f"## {section.strip()}"
    for name in sys.argv[1:] or PARTS:
        sections[name] = _measured(name)
        known = [sections[part] for part in PARTS if part in sections]
        DOCUMENT.write_text("\n\n".join([HEAD, *known]) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
