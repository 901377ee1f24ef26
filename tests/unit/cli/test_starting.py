"""What a command loads before it does anything: a backup job is a process an hour and a schedule."""

import subprocess
import sys

LOADED = """
import sys
import lastgood.cli.main
import lastgood.cli.job
print("\\n".join(sys.modules))
"""


def test_a_job_loads_nothing_of_the_operator_and_no_kind_that_it_does_not_read() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "lastgood.services.jobs.task" in loaded
    libraries = {"kopf", "kubernetes", "aiohttp", "yaml", "psycopg", "redis", "prometheus_client"}
    ours = {"lastgood.context", "lastgood.api.kinds", "lastgood.api.schema", "lastgood.handlers"}
    assert loaded & (libraries | ours) == set()
