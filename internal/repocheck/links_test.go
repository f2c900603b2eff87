package repocheck

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// anchors are the fragments under which GitHub shows a document's headings.
func anchors(text string) map[string]bool {
	found, fenced := make(map[string]bool), false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		heading := strings.TrimLeft(line, "#")
		if fenced || heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		found[anchor(heading)] = true
	}
	return found
}

// anchor is a heading's fragment: lower case, without punctuation, with a dash for each space.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, strings.TrimSpace(heading))
}

// A link to a part of a document leads to a heading there, and every reference has its definition.
func TestAnchorsExist(t *testing.T) {
	t.Parallel()
	var (
		link      = regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`)
		reference = regexp.MustCompile(`\]\[([^\]]+)\]`)
	)
	for _, path := range files(t, "*.md") {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := text
			if m[1] != "" {
				if target, err = os.ReadFile(filepath.Join(root, filepath.Dir(path), m[1])); err != nil {
					t.Errorf("%s links to %s: %v", path, m[1], err)
					continue
				}
			}
			if !anchors(string(target))[m[2]] {
				t.Errorf("%s links to %s#%s, which has no such heading", path, m[1], m[2])
			}
		}
		for _, m := range reference.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(string(text), "\n["+m[1]+"]: ") {
				t.Errorf("%s has no definition of the reference [%s]", path, m[1])
			}
		}
	}
}

// Each page of docs/ is found from its index.
func TestPagesAreIndexed(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files(t, "*.md") {
		if dir, page := filepath.Split(path); dir == "docs/" && page != "README.md" && !strings.Contains(string(index), "]("+page+")") {
			t.Errorf("docs/README.md does not list %s", page)
		}
	}
}
