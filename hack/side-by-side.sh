#!/bin/sh
# Runs make targets at the same time and shows what each said when it has ended; fails when one does.
# For tests that are mostly waiting, each on a cluster of its own.
set -u
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'kill $pids 2>/dev/null; exit 130' INT TERM
pids=
for target in "$@"; do
    ("${MAKE:-make}" --no-print-directory "$target" >"$folder/$target" 2>&1; echo $? >"$folder/$target.ended") &
    pids="$pids $!"
done
echo "running side by side: $* (each is shown when it has ended)"
failed=0
waiting=$*
seconds=0
while [ -n "$waiting" ]; do
    sleep 1
    seconds=$((seconds + 1))
    still=
    for target in $waiting; do
        if [ -f "$folder/$target.ended" ]; then
            echo "== $target"
            cat "$folder/$target"
            [ "$(cat "$folder/$target.ended")" = 0 ] || failed=1
        else
            still="$still $target"
        fi
    done
    waiting=${still# }
    if [ -n "$waiting" ] && [ $((seconds % 30)) = 0 ]; then
        line="$seconds s:"
        for target in $waiting; do
            # How far pytest says that it is.
            percent=$(grep -o '\[ *[0-9]*%\]' "$folder/$target" | tail -n 1 | tr -d '[] ')
            line="$line $target ${percent:-beginning},"
        done
        echo "${line%,}"
    fi
done
exit $failed
