"""``lastgood import``: reads files, prints ServiceLevelObjectives, and says what was left out."""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from lastgood.cli.openslo import VERSION, Import


def import_openslo(names: Sequence[str], prometheus: str) -> int:
    """Print objectives, and on stderr what was left out: 0 nothing was, 1 something was, 2 nothing could be read."""
    work = Import(prometheus=prometheus)
    for name in names:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
            documents = [d for d in yaml.safe_load_all(text) if d is not None]
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            what = "nested too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
            work.left.append(f"{name}: cannot be read: {what}")
            continue
        for document in documents:
            work.read(document, name)
    work.carry()
    for line in work.left:
        sys.stderr.write(line + "\n")
    if not work.found:
        sys.stderr.write(f"nothing of {VERSION} in there\n")
        return 2
    sys.stdout.write(yaml.safe_dump_all(work.made, sort_keys=False, allow_unicode=True, width=120) if work.made else "")
    return 1 if work.left else 0
