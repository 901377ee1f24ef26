#!/bin/sh
# Makes .venv from the hash-locked requirements: from a machine with python3 and nothing else assumed.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
want=$(cat requirements/dev.txt hack/env.sh | sha256sum | cut -d' ' -f1)
[ "$(cat .venv/.made-from 2>/dev/null || true)" = "$want" ] && exit 0
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "python3 is older than 3.11: install a newer one, or name it: make PYTHON=python3.13 …" >&2
    exit 1
}
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    # Debian ships venv apart from python3.
    echo "installing python3-venv (Debian keeps it apart from python3)"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
fi
echo "making .venv (once)"
rm -rf .venv
"$python" -m venv .venv
# Compiled now, whatever PYTHONDONTWRITEBYTECODE says: else each start of each program compiles for seconds.
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
.venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements/dev.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
echo "$want" > .venv/.made-from
