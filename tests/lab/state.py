"""What a lab writes down about itself, so that any later command finds it, and its remains, again."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from tests.lab.processes import Process

Mode = Literal["node", "control-plane"]


@dataclass(kw_only=True)
class Component:
    """One program of the lab: how to start it, and the process that it last was."""

    argv: list[str]
    process: Process
    stopped: bool = False
    """Whether it was stopped on purpose, and so is to stay so."""


@dataclass(kw_only=True)
class State:
    """The content of `state.json`."""

    mode: Mode
    controllers: bool
    pins: list[str]
    """The folders of the binaries that it runs: other pins are another lab."""
    api_url: str = ""
    subnet: int | None = None
    """The N of 10.231.N.0/24, for a node."""
    ready: bool = False
    """Whether boot came to its end once."""
    components: dict[str, Component] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it whole or not at all."""
        scratch = folder / ".state.json"
        scratch.write_text(json.dumps(asdict(self), indent=1))
        os.replace(scratch, folder / "state.json")  # noqa: PTH105 - the atomic one, by its name

    @classmethod
    def load(cls, folder: Path) -> "State | None":
        """Return what `folder` says, or None where no lab is, or one that died before it wrote anything usable."""
        try:
            raw = json.loads((folder / "state.json").read_text())
            raw["components"] = {
                name: Component(**{**item, "process": Process(**item["process"])})
                for name, item in raw["components"].items()
            }
            state = cls(**raw)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return state if state.mode in get_args(Mode) else None
