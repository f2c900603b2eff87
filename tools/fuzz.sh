#!/bin/sh
# Runs every fuzz target of the module for a given time, one after the other:
#   tools/fuzz.sh 3s
# `go test -fuzz` takes one target at a time, links the package again for each, and
# first compiles everything that it imports with coverage counters (minutes). Here
# every package is built once, with counters in this module's own code.
set -eu

fuzztime=${1:?usage: tools/fuzz.sh DURATION, e.g. 3s}
GO=${GO:-go}
root=$(pwd)
module=$($GO list -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cache=$($GO env GOCACHE)/fuzz/eastway

targets=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do
	$GO test -c "-gcflags=$module/...=-d=libfuzzer" -o "$work/fuzz.test" "$dir"
	cd "$dir" # seeds and new findings live in testdata/fuzz beside the test
	for target in $("$work/fuzz.test" -test.list '^Fuzz'); do
		echo "fuzz $dir $target $fuzztime"
		"$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$fuzztime" \
			-test.fuzzminimizetime 5s -test.fuzzcachedir "$cache/$dir" >"$work/log" 2>&1 || {
			# The end of the time may catch a worker in the middle of an input, which Go then reports as a
			# failure without an input (golang.org/issue/75804): the time is simply over.
			if grep -q 'context deadline exceeded' "$work/log" && ! grep -qE 'Failing input|panic:' "$work/log"; then
				targets=$((targets + 1))
				continue
			fi
			cat "$work/log"
			echo "fuzz: $dir $target failed; the input is in $dir/testdata/fuzz/$target" >&2
			exit 1
		}
		tail -n 2 "$work/log" | head -n 1
		targets=$((targets + 1))
	done
	cd "$root"
done
echo "fuzz: $targets targets passed"
