"""Writes images as docker-archive tars, the one format that needs no registry and that every tool reads."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path


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


def tags(path: Path) -> list[str]:
    """Return the names of the images in a docker-archive tar, gzipped or not."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.name == "manifest.json" and (content := archive.extractfile(member)) is not None:
                return [tag for image in json.load(content) for tag in image.get("RepoTags") or []]
    return []
