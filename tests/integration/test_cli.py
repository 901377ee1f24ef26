"""`lastgood validate` and `lastgood crds` as processes: what goes in, what comes out, and the exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.kube import Kube
from tests.integration.manifests import rollback, service

pytestmark = pytest.mark.integration

TYPO: dict[str, Any] = service("typo", suspended=True)
LATE = service("late", probe={"timeout": "2s"})
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}}


def lastgood(*args: str | Path, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "lastgood.cli.main", *map(str, args)],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": "operator"},
    )
    text = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in text.stderr, text.stderr
    return text


def manifest(*bodies: Any) -> str:
    return yaml.safe_dump_all(bodies)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (manifest(service(), rollback(), OTHER), "2 valid"),
        (json.dumps(service()), "1 valid"),
        (manifest({"apiVersion": "v1", "kind": "List", "items": [service(), rollback(), OTHER]}), "2 valid"),
        ("---\n---\n" + manifest(service()) + "---\n# nothing\n", "1 valid"),
        (manifest(OTHER), "nothing of lastgood.dev in there"),
        ("", "nothing of lastgood.dev in there"),
        (manifest({"apiVersion": "v1", "kind": "List", "items": None}), "nothing of lastgood.dev in there"),
    ],
    ids=["many", "json", "list", "empty documents", "others", "empty", "empty list"],
)
def test_good(tmp_path: Path, text: str, says: str) -> None:
    place = tmp_path / "manifest.yaml"
    place.write_text(text)
    for done in (lastgood("validate", place), lastgood("validate", "-", stdin=text)):
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, says, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (manifest(TYPO), 'MonitoredService/typo: unknown field "spec.suspended"'),
        (manifest(service(), LATE, rollback()), "MonitoredService/late: spec.probes[0]: Invalid value"),
        (manifest({"apiVersion": "v1", "kind": "List", "items": [service(), LATE]}), "MonitoredService/late"),
        (manifest({**service(), "apiVersion": "lastgood.dev/v1"}), "write apiVersion lastgood.dev/v1alpha1"),
        (manifest({**service(), "kind": "Service"}), 'no kind "Service"'),
        (manifest({**service(), "metadata": {}}), "metadata.name: Required value"),
        (manifest({**service(), "metadata": None}), "metadata.name: Required value"),
        (manifest({**service(), "spec": None}), "spec"),
        (manifest({**service(), "spec": "text"}), "must be of type object"),
        (manifest(["no", "object"]), "the document is no object"),
        (manifest({"apiVersion": "v1", "kind": "List", "items": ["text"]}), "the document is no object"),
        (manifest({"apiVersion": "v1", "kind": "List", "items": "text"}), ""),
        ("a: [", "cannot be read"),
        ("{" * 100, "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ("a: !!python/object:os.system {}", "cannot be read"),
        ("a: \x00", "cannot be read"),
    ],
    ids=lambda value: value[:40],
)
def test_bad(text: str, says: str) -> None:
    done = lastgood("validate", "-", stdin=text)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.startswith("-: ")
    assert not done.stdout


def test_unreadable_files_do_not_hide_the_others(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xe9\xff")
    late = tmp_path / "late.yaml"
    late.write_text(manifest(LATE))
    done = lastgood("validate", tmp_path / "absent.yaml", latin, tmp_path, late)
    assert done.returncode == 1
    for place in (tmp_path / "absent.yaml", latin, tmp_path):
        assert f"{place}: cannot be read: " in done.stderr
    assert f"{late}: MonitoredService/late: " in done.stderr


def test_input_that_is_no_text() -> None:
    done = lastgood("validate", "-", stdin=b"\xff\xfe\x00")
    assert done.returncode == 1
    assert "-: cannot be read: " in done.stderr


def test_wrong_calls() -> None:
    for args in (["validate"], ["nonsense"], [], ["run", "--log-level", "loud"]):
        assert lastgood(*args).returncode == 2
    assert lastgood("--version").stdout.startswith("lastgood ")


def test_run_says_what_is_wrong_with_its_options() -> None:
    done = lastgood("run", "--deny-cidr", "somewhere")
    assert done.returncode == 2
    assert "write a network such as 10.0.0.0/8" in done.stderr


def test_what_is_imported_is_taken_by_the_cluster(kubectl: Kube) -> None:
    done = lastgood("import", "openslo", "tests/unit/cli/openslo/checkout.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    told = kubectl.run("apply", "-f", "-", stdin=done.stdout).stdout.split()
    assert [word for word in told if "/" in word] == [
        f"servicelevelobjective.lastgood.dev/{name}" for name in ("orders-paid", "answers-1", "answers-2")
    ]
    assert lastgood("import", "openslo", "-", stdin="kind: Pod").returncode == 2
    assert lastgood("import", "sloth", "-").returncode == 2


def test_crds_are_what_the_repository_holds(tmp_path: Path) -> None:
    files = sorted(Path("crds").glob("*.yaml"))
    printed = sorted(yaml.safe_load_all(lastgood("crds").stdout), key=lambda crd: crd["metadata"]["name"])
    assert printed == [yaml.safe_load(f.read_text()) for f in files]
    assert lastgood("crds", "--into", tmp_path).returncode == 0
    assert {f.name: f.read_text() for f in tmp_path.iterdir()} == {f.name: f.read_text() for f in files}
    assert lastgood("crds", "--into", "crds", "--check").returncode == 0
    (tmp_path / files[0].name).write_text("stale")
    done = lastgood("crds", "--into", tmp_path, "--check")
    assert done.returncode == 1
    assert "run `make generate`" in done.stderr
    assert (tmp_path / files[0].name).read_text() == "stale"
