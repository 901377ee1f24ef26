#!/bin/sh
# Runs a suite of tests in several workers, and what failed once more, one at a time: on a busy machine a test that waits
# for something may give up beside others. Both runs are shown; what fails alone too has failed. ONCE=1 runs it once.
set -u
cd "$(dirname "$0")/.."
suite=$1 workers=$2
cache="cache_dir=.pytest_cache/$suite"
rm -rf ".pytest_cache/$suite"
# Beside others all takes longer. What waits too long alone has failed.
LASTGOOD_PATIENCE=${LASTGOOD_PATIENCE:-2} .venv/bin/python -m pytest "tests/$suite" -q -o "$cache" -n "$workers" --dist loadgroup --durations=15 --durations-min=20
status=$?
# 1: tests failed. All else (no tests, no collection, a signal) is nothing that a second run mends.
[ "$status" = 1 ] && [ -z "${ONCE:-}" ] || exit "$status"
echo "== $suite: what failed beside others, once more and one at a time"
.venv/bin/python -m pytest "tests/$suite" -q -o "$cache" --last-failed --last-failed-no-failures none
