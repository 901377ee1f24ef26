"""The whole node. Not there yet: this is the shape that lab.py needs."""

from pathlib import Path

from tests.lab.instance import Instance


def possible() -> bool:
    return False


def prepare() -> None:
    raise NotImplementedError


def boot(instance: Instance) -> None:
    raise NotImplementedError


def delete_pods(instance: Instance) -> None:
    raise NotImplementedError


def sweep(instance: Instance, *, grace: float) -> None:
    raise NotImplementedError


def load_image(instance: Instance, path: Path) -> None:
    raise NotImplementedError


def enter(name: str) -> list[str]:
    raise NotImplementedError
