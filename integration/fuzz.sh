#!/bin/sh
# Fuzzes each target of the module for the time given as the argument. Run from
# the top of the checkout.
#
# Go 1.26 sometimes fails a target with "context deadline exceeded" at the end
# of that time, though it found nothing (https://go.dev/issue/75804, fixed in Go
# 1.27). Such a target is fuzzed again.
set -eu
time=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() {
    status=0
    go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 2s "$1" >"$log" 2>&1 || status=$?
    cat "$log"
    return $status
}

interrupted() {
    grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"
}

for file in $(git grep -l '^func Fuzz' -- '*_test.go'); do
    # shellcheck disable=SC2013 # the names have no blanks
    for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$file"); do
        echo "fuzzing $target for $time"
        for try in 1 2 3; do
            fuzz "./$(dirname "$file")" "$target" && break
            [ $try -lt 3 ] && interrupted || exit 1
            echo "$target was ended by Go's own deadline and found nothing: fuzzing it again"
        done
    done
done
