package mcs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

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
