"""``lastgood run``, ``job``, ``crds``, ``validate``, ``import``, ``restore plan``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lastgood import __version__
from lastgood.api import GROUP
from lastgood.api.backupjob import CREDENTIALS, VOLUMES


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lastgood", description="Goes back to the last revision seen to be good.")
    parser.add_argument("--version", action="version", version=f"lastgood {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run the operator")
    run.add_argument(
        "--namespaces", action="append", default=[], help="watch only these (comma-separated); default all"
    )
    run.add_argument("--lease-namespace", default="", help="namespace of the Lease; default the operator's own")
    run.add_argument("--lease-name", default="lastgood")
    run.add_argument("--listen", default="0.0.0.0:8080", help="address of /metrics, /healthz, /readyz")
    run.add_argument("--deny-cidr", action="append", default=[], help="network that no probe may reach; repeatable")
    run.add_argument("--allow-loopback", action="store_true", help="let probes reach this machine's own loopback")
    run.add_argument("--storm-limit", type=int, default=5, help="rollbacks under way at once in the cluster")
    run.add_argument("--history", default="", metavar="FILE", help="keep minutes of objectives here; default in memory")
    run.add_argument("--history-bytes", type=int, default=0, help="room that this file may take; default any")
    run.add_argument(
        "--history-dsn-file", default=None, type=Path, metavar="FILE", help="keep them in the PostgreSQL that it names"
    )
    run.add_argument("--signals-listen", default="", metavar="ADDRESS", help="take signals here; default nowhere")
    run.add_argument("--signals-certificate", default=None, type=Path, metavar="FILE", help="TLS chain; with a key")
    run.add_argument("--signals-key", default=None, type=Path, metavar="FILE", help="its private key")
    run.add_argument("--backup-image", default="", metavar="IMAGE", help="image of backup jobs; default no backups")
    run.add_argument("--backup-roles", default="lastgood", metavar="PREFIX", help="of the jobs' ClusterRoles")
    run.add_argument("--kubeconfig", default=None)
    run.add_argument("--context", default=None, help="context of the kubeconfig")
    run.add_argument("--log-format", choices=["json", "console"], default="json")
    run.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")

    job = commands.add_parser("job", help="run one task of a backup schedule, in a job's pod")
    job.add_argument("--spec", required=True, type=Path, metavar="FILE", help="what to do: a JobSpec as JSON")
    job.add_argument("--result", default=Path("/dev/termination-log"), type=Path, metavar="FILE", help="how it ended")
    job.add_argument("--name", default="", help="name of the Job, and of the Backup; default $JOB_NAME")
    job.add_argument("--credentials", default=Path(CREDENTIALS), type=Path, metavar="FOLDER")
    job.add_argument("--volumes", default=Path(VOLUMES), type=Path, metavar="FOLDER")
    job.add_argument("--kubeconfig", default=None, type=Path, metavar="FILE", help="default the service account")
    job.add_argument("--log-format", choices=["json", "console"], default="json")
    job.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")

    crds = commands.add_parser("crds", help="print the CustomResourceDefinitions, or write them into folders")
    crds.add_argument("--into", action="append", default=[], type=Path, help="folder to write files into; repeatable")
    crds.add_argument("--check", action="store_true", help="with --into: change nothing, fail on a difference")

    check = commands.add_parser("validate", help="check manifests offline, with the sentences of the cluster")
    check.add_argument("files", nargs="+", metavar="FILE", help='YAML or JSON; "-" for standard input')

    bring = commands.add_parser("import", help="turn objectives of another form into ours")
    bring.add_argument("form", choices=["openslo"])
    bring.add_argument("files", nargs="+", metavar="FILE", help='YAML or JSON; "-" for standard input')
    bring.add_argument("--prometheus-url", default="", help="address of Prometheus for sources that name none")
    restore = commands.add_parser("restore", help="restores of data").add_subparsers(dest="what", required=True)
    told = restore.add_parser("plan", help="show what a Restore would do, before anything does; reads only")
    told.add_argument("name", nargs="?", default=None, metavar="NAME", help="a Restore that exists")
    told.add_argument("-f", "--file", default=None, metavar="FILE", help='or its manifest; "-" for standard input')
    told.add_argument("-n", "--namespace", default=None, help="default the manifest's, else the context's")
    told.add_argument("--kubeconfig", default=None)
    told.add_argument("--context", default=None, help="context of the kubeconfig")
    return parser


def _crds(into: Sequence[Path], *, check: bool) -> int:
    # Imported here, as what follows: all kinds' models and YAML are nothing to a job, whose start they would delay.
    from lastgood.api.schema import files  # noqa: PLC0415

    made = files()
    if not into:
        sys.stdout.write("---\n".join(made.values()))
        return 0
    stale = 0
    for folder in into:
        for name, text in made.items():
            place = folder / name
            if check and (not place.exists() or place.read_text(encoding="utf-8") != text):
                sys.stderr.write(f"{place} is not what the models say: run `make generate`\n")
                stale = 1
            elif not check:
                folder.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8")
    return stale


def _validate(names: Sequence[str]) -> int:
    # CEL is worth a quarter of a second and 10 MB, which the operator has no use for either.
    import yaml  # noqa: PLC0415

    from lastgood.api.validation import validate  # noqa: PLC0415

    failed = checked = 0
    for name in names:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
            documents = [d for d in yaml.safe_load_all(text) if d is not None]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            what = "nested too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
            sys.stderr.write(f"{name}: cannot be read: {what}\n")
            failed += 1
            continue
        flat = [i for d in documents for i in ((d.get("items") or []) if _is_list(d) else [d])]
        for document in flat:
            if isinstance(document, dict) and not str(document.get("apiVersion", "")).startswith(GROUP):
                continue
            checked += 1
            for problem in validate(document):
                metadata = document.get("metadata") if isinstance(document, dict) else None
                who = f"{document.get('kind')}/{(metadata or {}).get('name')}" if isinstance(document, dict) else "?"
                sys.stderr.write(f"{name}: {who}: {problem}\n")
                failed += 1
    if not failed:
        sys.stdout.write(f"{checked} valid\n" if checked else f"nothing of {GROUP} in there\n")
    return 1 if failed else 0


def _is_list(document: object) -> bool:
    return isinstance(document, dict) and document.get("kind") == "List"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status: 0 good, 1 what was checked is wrong, 2 the call is wrong."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "crds":
            return _crds(options.into, check=options.check)
        case "validate":
            return _validate(options.files)
        case "import":
            from lastgood.cli.importing import import_openslo  # noqa: PLC0415 - as below

            return import_openslo(options.files, options.prometheus_url)
        case "job":
            from lastgood.cli.job import job  # noqa: PLC0415 - as below

            return job(options)
        case "restore":
            from lastgood.cli.restoring import restore_plan  # noqa: PLC0415 - as below

            return restore_plan(
                options.name,
                options.file,
                namespace=options.namespace,
                kubeconfig=options.kubeconfig,
                context=options.context,
            )
        case _:
            # Imported here: `validate` needs none of what the operator needs, and starts ten times as fast.
            from lastgood.cli.run import run  # noqa: PLC0415

            return run(options)


if __name__ == "__main__":
    sys.exit(main())
