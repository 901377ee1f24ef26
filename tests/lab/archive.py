"""Writes images as docker-archive tars, the one format that needs no registry and that every tool reads."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from tests.lab.paths import cache_dir


def of_program(program: Path, *, tag: str) -> Path:
    """Return the image of one static program, such as those the lab builds, and nothing else, as a tar in the cache."""
    content = program.read_bytes()
    key = hashlib.sha256(content + tag.encode()).hexdigest()[:16]
    target = cache_dir() / "images" / f"{program.name}-{key}.tar"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(f".{os.getpid()}")
        write(scratch, tag=tag, files={f"/{program.name}": content}, entrypoint=[f"/{program.name}"]).rename(target)
    return target


def write(path: Path, *, tag: str, files: dict[str, bytes], entrypoint: list[str]) -> Path:
    """Write an image of one layer with the executables `files`, equal bytes for equal content, to `path`."""
    layer = _tar({name.lstrip("/"): (content, 0o755) for name, content in files.items()})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    raw = json.dumps(config).encode()
    name = f"{hashlib.sha256(raw).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]
    members = {name: raw, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    path.write_bytes(_tar({name: (content, 0o644) for name, content in members.items()}))
    return path


def _tar(members: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
