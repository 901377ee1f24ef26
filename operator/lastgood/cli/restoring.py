"""``lastgood restore plan``: what a Restore would do, before anything does. Reads, and writes nothing."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lastgood.api.validation import validate
from lastgood.context import reading
from lastgood.domain.ports import ClusterError
from lastgood.domain.restores.observed import restore_seen
from lastgood.domain.restores.plan import plan
from lastgood.services.restores.world import RestoreWorld
from lastgood.services.table import Table


def restore_plan(
    name: str | None, file: str | None, *, namespace: str | None, kubeconfig: str | None, context: str | None
) -> int:
    """Print the plan: 0 it can be done, 1 something stands against it, 2 the call is wrong or nothing can be read."""
    if (name is None) == (file is None):
        sys.stderr.write("name a Restore that exists, or a file with -f, and not both\n")
        return 2
    body: dict[str, Any] | None = None
    if file is not None:
        body = _from_file(file)
        if body is None:
            return 2
    return asyncio.run(_plan(body, name, namespace, kubeconfig, context))


def _from_file(file: str) -> dict[str, Any] | None:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = [d for d in yaml.safe_load_all(text) if isinstance(d, dict) and d.get("kind") == "Restore"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        sys.stderr.write(f"{file}: cannot be read: {' '.join(str(error).split())}\n")
        return None
    if len(found) != 1:
        sys.stderr.write(f"{file}: has {len(found)} Restores: write one\n")
        return None
    problems = validate(found[0])
    for problem in problems:
        sys.stderr.write(f"{file}: {problem}\n")
    return None if problems else found[0]


async def _plan(
    body: dict[str, Any] | None, name: str | None, namespace: str | None, kubeconfig: str | None, context: str | None
) -> int:
    try:
        cluster, default = await reading(kubeconfig, context)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"no cluster: {' '.join(str(error).split())}\n")
        return 2
    try:
        if body is None:
            where = namespace or default
            body = await cluster.get("restores", where, name or "")
            if body is None:
                sys.stderr.write(f'Restore "{name}" does not exist in namespace {where}\n')
                return 2
        metadata = body.setdefault("metadata", {})
        metadata["namespace"] = namespace or metadata.get("namespace") or default
        case = await RestoreWorld(cluster, Table()).look(restore_seen(body), body)
        text = plan(case)
    except ClusterError as error:
        sys.stderr.write(f"the cluster cannot be read: {error}\n")
        return 2
    except ValidationError as error:
        sys.stderr.write(f"the Restore is not understood: {error.error_count()} fields are wrong\n")
        return 2
    finally:
        await cluster.aclose()
    sys.stdout.write(text)
    return 1 if "\n  cannot be: " in text else 0
