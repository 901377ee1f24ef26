"""The three kinds of cluster that the demo runs on, behind one face."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Lab, images
from tests.lab.locks import locked

ROOT = Path(__file__).resolve().parents[2]
OPERATOR_IMAGE, SHOP_IMAGE = "docker.io/local/lastgood:0.1.0", "docker.io/local/lastgood-shop:1"
BACKUP_IMAGE = "docker.io/local/lastgood-backup:0.1.0"
PYTHON_BASE, DEBIAN_BASE = "docker.io/library/python:3.11-slim-bookworm", "docker.io/library/debian:bookworm-slim"
OPERATOR_PACKAGES = ["python3", "python3-venv", "ca-certificates"]
BACKUP_PACKAGES = [
    *OPERATOR_PACKAGES,
    "locales-all",
    "openssh-client",
    "postgresql-15",
    "redis-server",
    "redis-tools",
    "restic",
    "tzdata",
]
SHOP_PACKAGES = ["python3", "python3-psycopg2", "python3-redis", "postgresql-15", "redis-server"]


@dataclass(frozen=True)
class Cluster:
    """Where the demo runs: tools, and arguments that name the cluster in every call."""

    kubectl: tuple[str, ...]
    helm: tuple[str, ...]
    build: str = ""
    """What the operator's image holds; its tag stays the same from build to build."""
    image: str = OPERATOR_IMAGE
    shop_image: str = SHOP_IMAGE
    ours: bool = True
    """Whether the demo made the cluster: in anybody else's it touches only what it made."""

    def run(self, *args: str, check: bool = True, stdin: str | None = None) -> str:
        """Output of one kubectl call."""
        done = subprocess.run([*self.kubectl, *args], text=True, capture_output=True, check=False, input=stdin)
        if check and done.returncode:
            msg = f"kubectl {' '.join(args)}: {done.stderr.strip()}"
            raise SystemExit(msg)
        return done.stdout

    def apply(self, manifest: str) -> None:
        """Apply a file of manifests/demo, with this cluster's image of the shop."""
        text = (ROOT / "manifests" / "demo" / manifest).read_text().replace(SHOP_IMAGE, self.shop_image)
        self.run("apply", "-f", "-", stdin=text)

    def release(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One helm call on the demo's release."""
        command = [*self.helm, *arguments, "--namespace", "lastgood-system"]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        if check and done.returncode:
            msg = f"helm {' '.join(arguments)}: {done.stderr.strip()}"
            raise SystemExit(msg)
        return done


@contextmanager
def build_context(dockerfile: str = "Dockerfile", requirements: str = "run.txt") -> Iterator[Path]:
    """A build context of the operator's or the jobs' image, with wheels: a build in the lab has no network."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copy(ROOT / dockerfile, context)
        shutil.copytree(ROOT / "requirements", context / "requirements")
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "operator", context / "operator", ignore=ignore)
        shutil.copytree(wheelhouse(requirements), context / "wheelhouse")
        yield context


def wheelhouse(requirements: str = "run.txt") -> Path:
    """Wheels of the locked requirements for the image's Python, fetched once."""
    locked_by_hash = ROOT / "requirements" / requirements
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lastgood" / "wheels"
    place = cache / hashlib.sha256(locked_by_hash.read_bytes()).hexdigest()[:16]
    with locked(cache / "lock", say="another process fetches wheels, waiting for it"):
        if not place.exists():
            _fetch_wheels(locked_by_hash, place)
    return place


def _fetch_wheels(locked_by_hash: Path, place: Path) -> None:
    unfinished = place.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    platforms = ["manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
    named = [word for platform in platforms for word in ("--platform", platform)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", "3.11", *named]
    # Markers would be read for the Python that runs this; the image's may be older by a patch release.
    unfinished.mkdir(parents=True)
    plain = unfinished / "requirements.txt"
    plain.write_text(re.sub(r" ; python_full_version < '3\.11\.\d+'", "", locked_by_hash.read_text()))
    subprocess.run([*command, "-r", str(plain), "-d", str(unfinished)], check=True)
    plain.unlink()
    unfinished.rename(place)


def lab_cluster() -> Cluster:
    """The lab, booted, with both images loaded."""
    lab = Lab(name="demo")
    lab.up()
    with build_context() as context:
        operator = images.build(context / "Dockerfile", context, OPERATOR_IMAGE, {PYTHON_BASE: OPERATOR_PACKAGES})
    lab.load_image(operator)
    shop = ROOT / "manifests" / "demo" / "image"
    lab.load_image(images.build(shop / "Dockerfile", shop, SHOP_IMAGE, {DEBIAN_BASE: SHOP_PACKAGES}))
    config = f"--kubeconfig={lab.kubeconfig}"
    return Cluster((str(lab.bin("kubectl")), config), (str(lab.bin("helm")), config), build=operator.stem)


def kind_cluster() -> Cluster:
    """A kind cluster named lastgood-demo, on Docker, with a kubeconfig of its own."""
    for tool in ("docker", "kind", "kubectl", "helm"):
        if not shutil.which(tool):
            msg = f"CLUSTER=kind needs {tool}: install it, or leave CLUSTER out for the lab"
            raise SystemExit(msg)
    config = kind_kubeconfig()
    known = subprocess.run(["kind", "get", "clusters"], text=True, capture_output=True, check=True).stdout.split()
    if "lastgood-demo" not in known:
        subprocess.run(
            ["kind", "create", "cluster", "--name", "lastgood-demo", "--kubeconfig", str(config)], check=True
        )
    subprocess.run(["kind", "export", "kubeconfig", "--name", "lastgood-demo", "--kubeconfig", str(config)], check=True)
    for image, context in ((OPERATOR_IMAGE, ROOT), (SHOP_IMAGE, ROOT / "manifests" / "demo" / "image")):
        subprocess.run(["docker", "build", "--quiet", "--tag", image, str(context)], check=True)
        subprocess.run(["kind", "load", "docker-image", image, "--name", "lastgood-demo"], check=True)
    named = ["docker", "image", "inspect", "--format", "{{.Id}}", OPERATOR_IMAGE]
    build = subprocess.run(named, text=True, capture_output=True, check=True).stdout.strip()
    return Cluster(("kubectl", f"--kubeconfig={config}"), ("helm", f"--kubeconfig={config}"), build=build)


def context_cluster(context: str, image: str, shop_image: str) -> Cluster:
    """A context that the user named; its nodes must be able to get both images."""
    for tool in ("kubectl", "helm"):
        if not shutil.which(tool):
            msg = f"CLUSTER=context:{context} needs {tool}: install it, or leave CLUSTER out for the lab"
            raise SystemExit(msg)
    kubectl, helm = ("kubectl", f"--context={context}"), ("helm", f"--kube-context={context}")
    return Cluster(kubectl, helm, image=image, shop_image=shop_image, ours=False)


def make(name: str, *, image: str = OPERATOR_IMAGE, shop_image: str = SHOP_IMAGE) -> Cluster:
    """The cluster that CLUSTER names. Raises SystemExit with a sentence when there is no such kind."""
    if name == "lab":
        return lab_cluster()
    if name == "kind":
        return kind_cluster()
    if name.startswith("context:"):
        return context_cluster(name.removeprefix("context:"), image, shop_image)
    msg = f"CLUSTER={name}: write lab, kind or context:NAME"
    raise SystemExit(msg)


def kind_kubeconfig() -> Path:
    """A kubeconfig beside the user's own."""
    return Path(tempfile.gettempdir()) / "lastgood-demo.kubeconfig"
