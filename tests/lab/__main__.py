"""The command line: `python -m tests.lab COMMAND`, from the repository's root."""

import argparse
import os
import sys
from pathlib import Path

from tests.lab import go_build, images
from tests.lab.lab import Lab
from tests.lab.locks import progress
from tests.lab.paths import LabError


def main() -> int:
    """Run one command; return the exit code."""
    arguments = _parser().parse_args()
    try:
        return int(COMMANDS[arguments.command](arguments) or 0)
    except LabError as error:
        progress(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def _up(arguments: argparse.Namespace) -> None:
    lab = Lab(arguments.name, arguments.mode, controllers=arguments.controllers)
    lab.up()
    print(f"export KUBECONFIG={lab.kubeconfig}")


def _down(arguments: argparse.Namespace) -> None:
    for lab in Lab.all() if arguments.all else [Lab(arguments.name)]:
        lab.down()


def _status(arguments: argparse.Namespace) -> int:
    labs = [Lab(arguments.name)] if arguments.name else Lab.all()
    ready = bool(labs)
    for lab in labs:
        words = lab.status()
        print(f"{lab.name}: {', '.join(f'{name} {word}' for name, word in words.items()) or 'not up'}")
        ready = ready and "ready" in words.values()
    return 0 if ready else 1


def _kubeconfig(arguments: argparse.Namespace) -> None:
    lab = Lab(arguments.name)
    _ = lab.api_url  # so that a lab that is not up is an error
    print(lab.kubeconfig)


def _stop(arguments: argparse.Namespace) -> None:
    Lab(arguments.name).stop(arguments.component, kill=arguments.kill)


def _start(arguments: argparse.Namespace) -> None:
    Lab(arguments.name).start(arguments.component)


def _restart(arguments: argparse.Namespace) -> None:
    Lab(arguments.name).restart(arguments.component, kill=arguments.kill)


def _logs(arguments: argparse.Namespace) -> None:
    sys.stdout.write(Lab(arguments.name).logs(arguments.component).read_text(errors="replace"))


def _exec(arguments: argparse.Namespace) -> None:
    command = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not command:
        msg = "exec what?"
        raise LabError(msg)
    argv = [*Lab(arguments.name).exec_prefix, *command]
    os.execvp(argv[0], argv)


def _bin(arguments: argparse.Namespace) -> None:
    print(Lab(arguments.name).bin(arguments.program))


def _build(arguments: argparse.Namespace) -> None:
    defaults = [name for name, product in go_build.products().items() if product.default]
    for product in arguments.products or defaults:
        print(go_build.build(product))


def _load_image(arguments: argparse.Namespace) -> None:
    for path in arguments.tars:
        Lab(arguments.name).load_image(path)


def _build_image(arguments: argparse.Namespace) -> None:
    bases = {name: packages.split(",") if packages else [] for name, packages in map(_pair, arguments.base)}
    path = images.build(arguments.file, arguments.context, arguments.tag, bases, dict(map(_pair, arguments.build_arg)))
    if arguments.load:
        Lab(arguments.name).load_image(path)
    print(path)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        msg = f"{text!r} is not of the form NAME=VALUE"
        raise LabError(msg)
    return name, value


COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
    "stop": _stop,
    "start": _start,
    "restart": _restart,
    "logs": _logs,
    "exec": _exec,
    "bin": _bin,
    "build": _build,
    "load-image": _load_image,
    "build-image": _build_image,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, summary: str, *, lab: str | None = "lab") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.add_argument("--name", default=lab, help="which lab (default: %(default)s)")
        return sub

    up = command("up", "boot a lab, or leave it as it is when it is up")
    up.add_argument("--mode", choices=["node", "control-plane"], help="default: what it is up as, else node")
    up.add_argument(
        "--controllers", action="store_true", default=None, help="run the controller manager in control-plane mode too"
    )
    command("down", "end a lab and remove all it made").add_argument("--all", action="store_true")
    command("status", "say what runs; exit 0 when all is ready", lab=None)
    command("kubeconfig", "print the path of the administrator's kubeconfig")
    for name in ("stop", "start", "restart", "logs"):
        sub = command(name, f"{name} of one component" if name == "logs" else f"{name} one component")
        sub.add_argument("component")
        if name in {"stop", "restart"}:
            sub.add_argument("--kill", action="store_true", help="SIGKILL at once")
    command("exec", "run a command in the lab's network").add_argument("argv", nargs=argparse.REMAINDER)
    command("bin", "print the path of helm, kubectl, ...").add_argument("program")
    command("build", "build the Go programs").add_argument("products", nargs="*")
    command("load-image", "import docker-archive tars").add_argument("tars", nargs="+", type=Path)
    image = command("build-image", "build a Dockerfile on root file systems of Debian packages; print the tar's path")
    image.add_argument("--file", type=Path, required=True)
    image.add_argument("--context", type=Path, required=True)
    image.add_argument("--tag", required=True, help="such as docker.io/local/x:dev")
    image.add_argument("--base", action="append", default=[], metavar="NAME=PKG,PKG", help="what FROM NAME is")
    image.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    image.add_argument("--load", action="store_true", help="import it into the lab, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
