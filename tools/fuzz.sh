#!/bin/sh
# Runs every fuzz target of the module for a given time, one after the other:
#   tools/fuzz.sh 3s
# `go test -fuzz` takes one target at a time and links the package anew for each;
# here every package that has targets is built once, instrumented for coverage.
set -eu

fuzztime=${1:?usage: tools/fuzz.sh DURATION, e.g. 3s}
GO=${GO:-go}
root=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cache=$($GO env GOCACHE)/fuzz/eastway

targets=0
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do
	$GO test -c -fuzz=Fuzz -o "$work/fuzz.test" "$dir"
	cd "$dir" # seeds and new findings live in testdata/fuzz beside the test
	for target in $("$work/fuzz.test" -test.list '^Fuzz'); do
		echo "fuzz $dir $target $fuzztime"
		"$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$fuzztime" \
			-test.fuzzminimizetime 5s -test.fuzzcachedir "$cache/$dir" >"$work/log" 2>&1 || {
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
