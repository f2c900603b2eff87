package mcs

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// update writes the table of TestTroubleshooting.
var update = flag.Bool("update", false, "write the table of faults into docs/troubleshooting.md")

// TestTroubleshooting: the table of faults in docs/troubleshooting.md is that of diagnoses.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- faults: written by go test ./e2e/mcs -run TestTroubleshooting -update -->\n", "<!-- end of faults -->\n"
	path := filepath.Join("..", "..", "docs", "troubleshooting.md")
	data, err := os.ReadFile(path)
	must(t, err)
	before, rest, found := strings.Cut(string(data), begin)
	is, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s lacks %q or %q", path, begin, end)
	}
	want := "| fault | found by | what it says | what to do |\n| --- | --- | --- | --- |\n"
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, d := range diagnoses() {
		want += "| " + d.fault + " | `" + d.command() + "`, " + d.check + " | " + cell.Replace(strings.Join(d.says, " … ")) + " | " +
			cell.Replace(strings.Join(d.do, " … ")) + " |\n"
	}
	if *update {
		must(t, os.WriteFile(path, []byte(before+begin+want+end+after), 0o600))
	} else if is != want {
		t.Errorf("the table is not that of the test: go test ./e2e/mcs -run TestTroubleshooting -update\n%s\nwant\n%s", is, want)
	}
	const least = 50
	if n := len(diagnoses()); n < least {
		t.Errorf("%d faults", n)
	}
}

// TestDocs keeps the tables of docs/mcs-conformance.md and the checks the same.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "mcs-conformance.md"))
	must(t, err)
	var documented, is []string
	for line := range strings.Lines(string(text)) {
		const cells = 4 + 2 // and what is before the first bar and after the last one
		row := strings.Split(strings.TrimSpace(line), " | ")
		if len(row)+2 != cells || !strings.HasPrefix(row[0], "| ") || row[1] == "label" || row[1] == "---" {
			continue
		}
		documented = append(documented, row[1]+"/"+row[2])
	}
	for _, c := range checks() {
		is = append(is, c.String())
	}
	for _, name := range is {
		if !slices.Contains(documented, name) {
			t.Errorf("the table has no row for %q", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(is, name) {
			t.Errorf("the table has a row for %q, which is no check", name)
		}
	}
	if slices.Sort(is); len(slices.Compact(is)) != len(checks()) {
		t.Errorf("two checks have the same name: %q", is)
	}
}
