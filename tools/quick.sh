#!/bin/sh
# Checks a small change in under a minute: the tests of the packages that differ from a base and of the packages that import
# them directly, and the linters that need no type information, on the lines that differ:
#   tools/quick.sh [REVISION]
# Without a revision the base is where this branch left main. `make test` stays what has to pass.
set -eu

GO=${GO:-go}
LINT=${LINT:-$GO tool -modfile=tools/golangci-lint.mod golangci-lint}
base=${1:-$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null || echo HEAD)}
module=$($GO list -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The folders of what differs; what is not Go (testdata, manifests) counts for the package around it.
{ git diff --name-only "$base" -- && git ls-files --others --exclude-standard; } | while read -r file; do
	dir=$(dirname "$file")
	until [ "$dir" = . ] || ls "$dir"/*.go >/dev/null 2>&1; do dir=$(dirname "$dir"); done
	[ "$dir" = . ] || echo "$module/$dir"
done | sort -u >"$work/changed"

# Each package with what it and its tests import; what needs root or helm is left to `make e2e`.
$GO list -f '{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... |
	awk -v changed="$work/changed" '
		BEGIN { while ((getline pkg <changed) > 0) want[pkg] = 1 }
		$1 ~ /\/e2e\// || $1 ~ /\/charts$/ { next }
		$1 ~ /\/internal\/repocheck$/ { print $1; next }
		{ for (i = 1; i <= NF; i++) if ($i in want) { print $1; next } }' >"$work/packages"

echo "quick: $(wc -l <"$work/packages") packages differ from $(git rev-parse --short "$base"), import one that does, or check the whole tree"
# shellcheck disable=SC2046 # lists of packages
$LINT run --allow-serial-runners --fast-only --new-from-rev "$base" $(sed "s|^$module|.|" "$work/packages")
# shellcheck disable=SC2046
$GO test $(cat "$work/packages")
