"""``lastgood job``: what runs in the pods of backup jobs."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys

from pydantic import ValidationError

from lastgood.api.backupjob import JobResult, JobSpec
from lastgood.cli.logging import configure_logging
from lastgood.context_job import JobOptions, job_name, make
from lastgood.domain.backups.answers import fitting
from lastgood.domain.backups.ports import Places
from lastgood.domain.backups.trying import exit_status
from lastgood.services.jobs.task import run as run_job


def job(arguments: argparse.Namespace) -> int:
    """Run one task; 0 when it ended well, 2 when the call or the spec is wrong, else see `trying`."""
    configure_logging(arguments.log_format, arguments.log_level)
    # What it writes is for its own user alone, and for the group that Kubernetes gives volumes to.
    os.umask(0o007)
    try:
        spec = JobSpec.model_validate_json(arguments.spec.read_bytes())
    except (OSError, ValidationError) as error:
        # A validation error shows what it was given: only where it was is told here.
        places = error.errors() if isinstance(error, ValidationError) else []
        where = ", ".join(".".join(map(str, each["loc"])) for each in places)
        sys.stderr.write(f"--spec cannot be read ({type(error).__name__} {where}): name a file with a JobSpec\n")
        return 2
    options = JobOptions(
        name=arguments.name or job_name(),
        places=Places(arguments.credentials, arguments.volumes),
        kubeconfig=arguments.kubeconfig,
    )
    result = asyncio.run(_run(spec, options))
    text = fitting(result)
    try:
        arguments.result.write_text(text, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"--result cannot be written ({type(error).__name__}): {text}\n")
        return 1
    return exit_status(ok=result.ok, reason=result.reason)


async def _run(spec: JobSpec, options: JobOptions) -> JobResult:
    parts, progress, api = make(spec, options)
    task = asyncio.create_task(run_job(parts, progress))
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        # A second signal, or the kernel's SIGKILL, is what ends an end that takes too long.
        loop.remove_signal_handler(signal.SIGTERM)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interrupt)
    try:
        return await task
    finally:
        if api is not None:
            with contextlib.suppress(Exception):
                await api.aclose()
