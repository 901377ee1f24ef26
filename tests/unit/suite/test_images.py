"""When an image of the lab is taken for the one that would be built."""

from pathlib import Path

import pytest
from tests.lab import images

TAG, JOBS = "docker.io/local/x:1", "docker.io/local/jobs:1"


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> images._Storage:
    monkeypatch.setenv("LASTGOOD_CACHE", str(tmp_path / "cache"))
    return images._Storage(tmp_path / "cache" / "lab" / "buildah")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.py").write_text("1")
    (folder / "Dockerfile").write_text("FROM python:3.11\nCOPY deep /deep\n")
    return folder


def key(storage: images._Storage, context: Path, *, base: str = "1", tag: str = TAG, **arguments: str) -> str:
    bases = {"python:3.11": Path(f"/cache/bookworm-{base}.tar")}
    return storage.key(context / "Dockerfile", context=context, tag=tag, bases=bases, build_args=arguments)


def test_the_same_is_the_same_whenever_it_was_copied(storage: images._Storage, context: Path) -> None:
    before = key(storage, context)
    (context / "deep" / "a.py").unlink()
    (context / "deep" / "a.py").write_text("1")
    assert key(storage, context) == before


def test_all_that_it_is_built_from_counts(storage: images._Storage, context: Path) -> None:
    seen = {key(storage, context), key(storage, context, base="2"), key(storage, context, tag=JOBS)}
    seen.add(key(storage, context, WHO="me"))
    (context / "deep" / "a.py").write_text("2")
    seen.add(key(storage, context))
    (context / "deep" / "a.py").chmod(0o755)
    seen.add(key(storage, context))
    (context / "deep" / "a.py").rename(context / "deep" / "b.py")
    seen.add(key(storage, context))
    (context / "Dockerfile").write_text("FROM python:3.11\nCOPY deep /other\n")
    seen.add(key(storage, context))
    assert len(seen) == 8


def test_one_that_is_built_on_another_is_built_anew_with_it(storage: images._Storage, context: Path) -> None:
    (context / "Dockerfile").write_text(f"ARG IT={TAG}\nFROM ${{IT}}\n")
    seen = {key(storage, context, tag=JOBS)}
    for archive in ("one.tar", "two.tar"):
        storage.remember(TAG, "k", archive)
        seen.add(key(storage, context, tag=JOBS))
    storage.remember("docker.io/local/other:1", "k", "other.tar")
    seen.add(key(storage, context, tag=JOBS))
    assert len(seen) == 3


def test_only_what_a_tag_means_now_is_taken(storage: images._Storage) -> None:
    tar = storage.folder.parent / "images" / "one.tar"
    tar.parent.mkdir()
    tar.touch()
    assert storage.last(TAG, "k") is None
    storage.remember(TAG, "k", "one.tar")
    assert (storage.last(TAG, "k"), storage.last(TAG, "other"), storage.last(JOBS, "k")) == (tar, None, None)
    storage.remember(TAG, "", "")
    assert storage.last(TAG, "k") is None
    storage.remember(TAG, "k", "gone.tar")
    assert storage.last(TAG, "k") is None
