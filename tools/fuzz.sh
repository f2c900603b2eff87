#!/bin/sh
# Runs every fuzz target of the module for a given time, on each processor one at a time:
#   tools/fuzz.sh 3s
# `go test -fuzz` takes one target at a time, links the package again for each, and
# first compiles everything that it imports with coverage counters (minutes). Here
# every package is built once, with counters in this module's own code.
set -eu

fuzztime=${1:?usage: tools/fuzz.sh DURATION, e.g. 3s}

# one TARGET DIRECTORY BINARY: what `fuzz` below starts, with FUZZTIME, WORK and CACHE.
if [ "$fuzztime" = one ]; then
	target=$2 dir=$3 binary=$4
	log=$WORK/$target.log
	cd "$dir" # seeds and new findings live in testdata/fuzz beside the test
	if ! "$binary" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZTIME" -test.parallel 1 \
		-test.fuzzminimizetime 5s -test.fuzzcachedir "$CACHE/$dir" >"$log" 2>&1; then
		# The end of the time may catch a worker in the middle of an input, which Go then reports as a
		# failure without an input (golang.org/issue/75804): the time is simply over.
		if ! grep -q 'context deadline exceeded' "$log" || grep -qE 'Failing input|panic:' "$log"; then
			printf 'fuzz %s %s %s\n%s\nfuzz: failed; the input is in %s/testdata/fuzz/%s\n' \
				"$dir" "$target" "$FUZZTIME" "$(cat "$log")" "$dir" "$target" >&2
			exit 1
		fi
	fi
	echo "fuzz $dir $target $FUZZTIME $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	exit
fi

GO=${GO:-go}
module=$($GO list -m)
FUZZTIME=$fuzztime
WORK=$(mktemp -d)
CACHE=$($GO env GOCACHE)/fuzz/eastway
export FUZZTIME WORK CACHE
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM

dirs=$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u)
# shellcheck disable=SC2086
$GO test -c -ldflags=-w "-gcflags=$module/...=-d=libfuzzer" -o "$WORK/" $dirs # names of their packages differ
for dir in $dirs; do
	binary=$WORK/$(basename "$dir").test
	for target in $("$binary" -test.list '^Fuzz'); do
		echo "one $target $dir $binary"
	done
done >"$WORK/targets"
xargs -L 1 -P "$(getconf _NPROCESSORS_ONLN)" sh "$0" <"$WORK/targets"
echo "fuzz: $(wc -l <"$WORK/targets") targets passed"
