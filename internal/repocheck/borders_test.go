package repocheck

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const module = "github.com/eastway/eastway/"

// border is what the linter's depguard has as a rule.
type border struct {
	Files    []string `json:"files"`
	ListMode string   `json:"list-mode"`
	Allow    []string `json:"allow"`
	Deny     []struct {
		Pkg string `json:"pkg"`
	} `json:"deny"`
}

// covers: the rule is for the code of that package.
func (b *border) covers(pkg string) bool {
	matches := func(pattern string) bool {
		folder, ok := strings.CutPrefix(pattern, "${base-path}/")
		folder = strings.TrimSuffix(folder, "**")
		return pattern == "$all" || ok && strings.HasPrefix(pkg+"/", folder)
	}
	found := false
	for _, pattern := range b.Files {
		for _, pattern := range braces(pattern) {
			if not, ok := strings.CutPrefix(pattern, "!"); ok && matches(not) {
				return false
			}
			found = found || matches(pattern)
		}
	}
	return found
}

// braces are the patterns that a{b,c} stands for.
func braces(pattern string) []string {
	before, rest, ok := strings.Cut(pattern, "/{")
	choices, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return []string{pattern}
	}
	var out []string
	for choice := range strings.SplitSeq(choices, ",") {
		out = append(out, before+"/"+choice+after)
	}
	return out
}

// forbids: the rule lets nothing that it covers import that package.
func (b *border) forbids(pkg string) bool {
	denied, allowed := 0, 0 // the longest prefixes
	for _, d := range b.Deny {
		if prefixed(module+pkg, d.Pkg) {
			denied = max(denied, len(d.Pkg))
		}
	}
	for _, a := range b.Allow {
		if prefixed(module+pkg, a) {
			allowed = max(allowed, len(a))
		}
	}
	return denied > allowed
}

func prefixed(pkg, prefix string) bool {
	return strings.HasPrefix(pkg+"/", strings.TrimSuffix(prefix, "/")+"/")
}

func borders(t *testing.T) map[string]*border {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]*border `json:"rules"`
				} `json:"depguard"`
			} `json:"settings"`
		} `json:"linters"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	return config.Linters.Settings.Depguard.Rules
}

// row of a package table.
type row struct {
	packages []string
	never    []string // packages that those must not import
	ground   bool     // of the ground floor
}

// packageRows are the rows of the tables in ARCHITECTURE.md whose first column holds packages.
func packageRows(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	var table string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			table = ""
			continue
		case table == "":
			table = cells[0]
			continue
		case table != "package" && table != "ground floor", strings.HasPrefix(cells[0], "--"):
			continue
		}
		r := row{ground: table == "ground floor"}
		r.packages = quoted(cells[0])
		if !r.ground {
			r.never = neverImports(t, cells[len(cells)-1])
		}
		rows = append(rows, r)
	}
	return rows
}

// quoted are the words of a text that stand in backquotes.
func quoted(text string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// neverImports reads a cell of the last column: packages, or "all but itself", or a dash.
func neverImports(t *testing.T, cell string) []string {
	t.Helper()
	switch cell {
	case "—":
		return nil
	case "all but itself":
		return []string{"*"}
	}
	var out []string
	for name := range strings.SplitSeq(cell, ",") {
		name = strings.Trim(strings.TrimSpace(name), "`")
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || !info.IsDir() {
			t.Errorf("ARCHITECTURE.md: never imports %q: no such package", name)
		}
		out = append(out, name)
	}
	return out
}

// Each row of the package tables is a rule of the linter: what it says is enforced, not claimed.
func TestBordersAreEnforced(t *testing.T) {
	t.Parallel()
	rules, rows := borders(t), packageRows(t)
	var floors [2][]string
	for _, r := range rows {
		floor := 0
		if r.ground {
			floor = 1
		}
		floors[floor] = append(floors[floor], r.packages...)
	}
	upper, ground := floors[0], floors[1]
	if len(upper) == 0 || len(ground) == 0 {
		t.Fatal("ARCHITECTURE.md has no table of packages and of the ground floor")
	}
	for _, r := range rows {
		for _, pkg := range r.packages {
			never := r.never
			switch {
			case r.ground:
				never = upper
			case slices.Equal(never, []string{"*"}):
				never = slices.DeleteFunc(slices.Clone(upper), func(other string) bool { return prefixed(pkg, other) })
			}
			for _, other := range never {
				if prefixed(other, pkg) {
					continue
				}
				if !slices.ContainsFunc(slices.Collect(maps.Values(rules)), func(b *border) bool { return b.covers(pkg) && b.forbids(other) }) {
					t.Errorf("ARCHITECTURE.md: %s never imports %s, but no rule of depguard in .golangci.yml says so", pkg, other)
				}
			}
		}
	}
}

// apiTypes are the plain types of Kubernetes objects: below discovery, and no part of its engine.
const apiTypes = "discovery/api"

// The code of a package reaches what it never imports through no other package either: a command carries no engine.
func TestBordersHoldThroughOthers(t *testing.T) {
	t.Parallel()
	folders := goFiles(t)
	for _, r := range packageRows(t) {
		for _, pkg := range r.packages {
			for _, never := range r.never {
				if path := pathTo(folders, pkg, never); path != nil {
					t.Errorf("ARCHITECTURE.md: %s never imports %s, but reaches it through others: %s", pkg, never, strings.Join(path, " → "))
				}
			}
		}
	}
}

// pathTo is a way along imports from the code below one folder to that below another; nil if there is none.
func pathTo(folders map[string][]goFile, from, to string) []string {
	before := make(map[string]string) // the package that imports it
	var next []string
	for dir := range folders {
		if prefixed(dir, from) {
			before[dir], next = "", append(next, dir)
		}
	}
	for len(next) > 0 {
		dir := next[0]
		next = next[1:]
		if prefixed(dir, to) && !prefixed(dir, from) && !prefixed(dir, apiTypes) {
			var path []string
			for ; dir != ""; dir = before[dir] {
				path = append(path, dir)
			}
			slices.Reverse(path)
			return path
		}
		for i := range folders[dir] {
			if folders[dir][i].isTest() {
				continue
			}
			for _, spec := range folders[dir][i].syntax.Imports {
				imported, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
				if _, seen := before[imported]; ours && !seen {
					before[imported], next = dir, append(next, imported)
				}
			}
		}
	}
	return nil
}

// A package that no row names would have no border.
func TestPackagesHaveRows(t *testing.T) {
	t.Parallel()
	var named []string
	for _, r := range packageRows(t) {
		named = append(named, r.packages...)
	}
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for dir := range goFiles(t) {
		// What only tests import is named below the tables.
		covered := func(pkg string) bool { return prefixed(dir, pkg) }
		if !slices.ContainsFunc(named, covered) && !slices.ContainsFunc(quoted(string(text)), covered) {
			t.Errorf("package %s has no row in ARCHITECTURE.md's package tables", dir)
		}
	}
	for _, pkg := range named {
		if _, err := os.Stat(filepath.Join(root, pkg)); err != nil {
			t.Errorf("ARCHITECTURE.md has a row for %s: %v", pkg, err)
		}
	}
}

// depguard looks only at the nearest of the sorted prefixes: one that is a prefix of another would be overlooked.
func TestBordersHaveNoNestedPrefixes(t *testing.T) {
	t.Parallel()
	for name, b := range borders(t) {
		var denied []string
		for _, d := range b.Deny {
			denied = append(denied, d.Pkg)
		}
		for _, list := range [][]string{denied, b.Allow} {
			for _, one := range list {
				for _, other := range list {
					if one != other && strings.HasPrefix(other, one) {
						t.Errorf("depguard rule %s: %s is a prefix of %s", name, one, other)
					}
				}
			}
		}
	}
}
