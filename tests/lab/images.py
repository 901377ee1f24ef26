"""Images without a registry: root file systems from Debian packages, and Dockerfiles built on top of them.

What is built is the project's own Dockerfile, unchanged: the name after its FROM is given to a root file system with
the Debian packages that the caller names.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab import debian
from tests.lab.locks import locked, progress
from tests.lab.paths import LabError, cache_dir

# Half of what a minimal Debian holds is for readers; the licences (copyright) stay.
_LEAVE_OUT = (
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    '--aptopt=Apt::Install-Recommends "false"',
)
# The package lists and downloaded packages, and what makes two makes of the same thing differ.
_REMOVE = ("/var/lib/apt/lists/*", "/var/cache/apt/*", "/var/cache/ldconfig/*", "/var/log/*.log", "/var/log/apt")


def rootfs(packages: Sequence[str], suite: str = "bookworm") -> Path:
    """Return a tar of a minimal Debian with these packages, from the cache or made now (some 20 s).

    The key is the packages' names: delete the tar to have it made of today's versions.
    """
    debian.ensure()
    names = sorted(set(packages))
    recipe = ["--variant=minbase", *_LEAVE_OUT, *_REMOVE, suite, *names]
    key = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:16]
    folder = cache_dir() / "rootfs"
    target = folder / f"{suite}-{key}.tar"
    if target.exists():
        return target
    with locked(folder / f"{suite}-{key}.lock", say="another process is making the same root file system"):
        if not target.exists():
            _make_rootfs(target, names=names, suite=suite)
    return target


def _make_rootfs(target: Path, *, names: list[str], suite: str) -> None:
    progress(f"making a {suite} root file system with {', '.join(names) or 'nothing more'} ...")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", *_LEAVE_OUT]
    remove = " ".join(f'"$1"{path}' for path in _REMOVE)
    command.append(f"--customize-hook=rm -rf {remove}")
    if names:
        command.append(f"--include={','.join(names)}")
    with tempfile.TemporaryDirectory(prefix=".rootfs-", dir=target.parent) as scratch:
        out = Path(scratch) / "rootfs.tar"
        _run([*command, suite, str(out)], environment={**os.environ, "TMPDIR": scratch})
        out.rename(target)


def build(
    dockerfile: Path,
    context: Path,
    tag: str,
    base_images: Mapping[str, Sequence[str]],
    build_args: Mapping[str, str] | None = None,
) -> Path:
    """Build a Dockerfile and return the image as a docker-archive tar, named after the image's content.

    `base_images` gives each name that a FROM uses the Debian packages of its root file system. Nothing is pulled: a
    FROM of any other name, but of what was built here before, fails. Steps whose input is unchanged come from the cache,
    and so does an image that was last built from the very same.

    :raises LabError: when the build fails; the message ends with its output.
    """
    debian.ensure()
    storage = _Storage(cache_dir() / "buildah")
    with locked(storage.folder / "lock", say="another process builds an image, waiting for it"):
        bases = {name: rootfs(packages) for name, packages in base_images.items()}
        key = storage.key(dockerfile, context=context, tag=tag, bases=bases, build_args=build_args or {})
        built = storage.last(tag, key)
        if built is not None:
            return built
        for name, base in bases.items():
            storage.provide(name, base)
        # From now on the tag may mean another image, whatever becomes of this.
        storage.remember(tag, "", "")
        identity = storage.build(dockerfile, context=context, tag=tag, build_args=build_args or {})
        archive = storage.archive(identity, tag=tag)
        storage.remember(tag, key, archive.name)
        return archive


class _Storage:
    """Buildah with a storage of the lab's own: the machine's, if it has one, is not the lab's to fill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # No registry may be asked, and nothing is fetched whose signature a policy could check.
        registries, policy = folder / "registries.conf", folder / "policy.json"
        registries.write_text('unqualified-search-registries = []\nshort-name-mode = "disabled"\n')
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._policy = f"--signature-policy={policy}"
        self._environment = {**os.environ, "CONTAINERS_REGISTRIES_CONF": str(registries), "HOME": str(folder)}

    def key(
        self, dockerfile: Path, *, context: Path, tag: str, bases: Mapping[str, Path], build_args: Mapping[str, str]
    ) -> str:
        """Return a hash of all that an image is built from."""
        digest, text = hashlib.sha256(), dockerfile.read_text()
        given = [f"{name}={value}" for name, value in sorted(build_args.items())]
        # Of the images that were built here before, one may be what this is built on.
        named = f"{text} {given}"
        before = [f"{n}={archive}" for n, (_, archive) in sorted(self._known().items()) if n != tag and n in named]
        for part in (tag, text, *given, *before, *(f"{name}={tar.name}" for name, tar in sorted(bases.items()))):
            digest.update(part.encode() + b"\0")
        for path in sorted(context.rglob("*")):
            digest.update(f"{path.relative_to(context)} {path.lstat().st_mode}".encode() + b"\0")
            if path.is_file():
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def last(self, tag: str, key: str) -> Path | None:
        """Return the tar of an image that was last built from what this key stands for: `tag` means that one still."""
        known, archive = self._known().get(tag, ("", ""))
        tar = cache_dir() / "images" / archive
        return tar if known == key and tar.is_file() else None

    def remember(self, tag: str, key: str, archive: str) -> None:
        """Write down what an image was built from, and the name of its tar."""
        scratch = self.folder / ".known.json"
        scratch.write_text(json.dumps({**self._known(), tag: (key, archive)}))
        scratch.rename(self.folder / "known.json")

    def _known(self) -> dict[str, tuple[str, str]]:
        """Key, and name of the tar, of the image that each tag was last built as."""
        try:
            return {
                tag: (key, archive)
                for tag, (key, archive) in json.loads((self.folder / "known.json").read_text()).items()
            }
        except (OSError, ValueError):
            return {}

    def provide(self, name: str, tar: Path) -> None:
        """Have `FROM name` mean the root file system in `tar`."""
        base = f"localhost/lab-base:{tar.stem}"
        if not self._buildah("images", "--quiet", "--filter", f"reference={base}").strip():
            with tempfile.TemporaryDirectory(prefix=".base-", dir=self.folder) as scratch:
                os.link(tar, Path(scratch) / "rootfs.tar")
                (Path(scratch) / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar /\nCMD ["/bin/bash"]\n')
                self._buildah("bud", "--quiet", self._policy, "--isolation=chroot", f"--tag={base}", scratch)
        self._buildah("tag", base, _qualified(name))

    def build(self, dockerfile: Path, *, context: Path, tag: str, build_args: Mapping[str, str]) -> str:
        """Build, and return the image's id."""
        progress(f"building {tag} from {dockerfile} ...")
        with tempfile.TemporaryDirectory(prefix=".build-", dir=self.folder) as scratch:
            identity = Path(scratch) / "id"
            self._buildah(
                "bud",
                "--isolation=chroot",
                "--pull-never",
                "--layers",
                "--format=docker",  # the OCI format has no HEALTHCHECK and no SHELL
                self._policy,
                f"--iidfile={identity}",
                f"--file={dockerfile}",
                f"--tag={tag}",
                *(f"--build-arg={name}={value}" for name, value in build_args.items()),
                str(context),
            )
            return identity.read_text().strip().removeprefix("sha256:")

    def archive(self, identity: str, *, tag: str) -> Path:
        """Return the image as a tar; the tag is part of the tar, and so of its name."""
        images = cache_dir() / "images"
        images.mkdir(parents=True, exist_ok=True)
        target = images / f"{identity[:16]}-{hashlib.sha256(tag.encode()).hexdigest()[:8]}.tar"
        if not target.exists():
            # Not a temporary file: the tool refuses to write to a tar that is there already.
            with tempfile.TemporaryDirectory(prefix=".tar-", dir=images) as scratch:
                out = Path(scratch) / "image.tar"
                self._buildah("push", "--quiet", self._policy, identity, f"docker-archive:{out}:{_qualified(tag)}")
                out.rename(target)
        return target

    def _buildah(self, *arguments: str) -> str:
        places = [f"--root={self.folder}/root", f"--runroot={self.folder}/run", "--storage-driver=overlay"]
        return _run(["buildah", *places, *arguments], environment=self._environment)


def _qualified(name: str) -> str:
    """Return the full name that a short one stands for: `python:3.11` is `docker.io/library/python:3.11`."""
    host, slash, _ = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _run(command: list[str], *, environment: Mapping[str, str]) -> str:
    if shutil.which(command[0]) is None:
        msg = f"{command[0]} is not on the PATH"
        raise LabError(msg)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        msg = f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        raise LabError(msg)
    return done.stdout
