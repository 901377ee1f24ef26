"""Real repositories in temporary folders, laid out as in a job's pod."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.lab import Lab, go_build

from lastgood.api.repositories import Repository as Declared
from lastgood.backups.restic import Restic
from lastgood.backups.restic_call import Settings
from lastgood.backups.restic_location import locate
from lastgood.domain.backups.ownership import Owner
from lastgood.domain.backups.ports import Places
from lastgood.kube.plain import PlainApi, from_kubeconfig

TAGS = {"schedule": "orders", "uid": "u-1", "backup": "b-1", "type": "full"}
OWNER = Owner("shop", "orders", "u-1", "cluster-1")


@dataclass
class Pod:
    """What a job's pod finds."""

    places: Places
    said: list[str] = field(default_factory=list)

    def credential(self, name: str, text: str) -> Path:
        file = self.places.credential(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def settings(self, **more: object) -> Settings:
        settings = Settings(
            owner=OWNER,
            key=self.places.credential("key/current"),
            previous=None,
            scratch=self.places.scratch,
            progress=self.said.append,
            now=time.time,
            lock_seconds=0.0,
            patience_seconds=2.0,
        )
        return replace(settings, **more)  # type: ignore[arg-type]

    def volume(self, name: str = "primary", **more: object) -> Restic:
        self.places.repository(name).mkdir(parents=True, exist_ok=True)
        declared = Declared.model_validate({"volume": {"claim": f"claim-{name}"}})
        return self.restic(name, declared, **more)

    def restic(self, name: str, declared: Declared, **more: object) -> Restic:
        return Restic(locate(name, declared, self.places, "shop", "orders"), self.settings(**more))


@pytest.fixture(scope="session", autouse=True)
def _quick_restic() -> Iterator[None]:
    """restic with keys that cost nothing to derive: see tests/lab/go/restic. A third of the work went there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(go_build.build("restic")), prepend=os.pathsep)
        yield


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    pod = Pod(Places(tmp_path / "credentials", tmp_path / "volumes"))
    pod.places.scratch.mkdir(parents=True)
    pod.credential("key/current", "c4n4ry-p4ssphrase\n")
    return pod


@pytest.fixture
def namespace(namespace_for: Callable[[], str]) -> str:
    return namespace_for()


@pytest.fixture
async def api(lab: Lab) -> AsyncIterator[PlainApi]:
    api = PlainApi(from_kubeconfig(Path(lab.kubeconfig)))
    yield api
    await api.aclose()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with something in it."""
    folder = tmp_path / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("one\n")
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)) * 4000)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """All files in a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
