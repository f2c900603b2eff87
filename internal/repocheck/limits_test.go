package repocheck

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// constants are the values, as written, of the constants of that name below a folder.
func constants(folders map[string][]goFile, below, name string) []ast.Expr {
	var found []ast.Expr
	for dir, files := range folders {
		if dir != below && !strings.HasPrefix(dir, below+"/") {
			continue
		}
		for _, f := range files {
			for _, d := range f.syntax.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.CONST || f.isTest() {
					continue
				}
				for _, s := range g.Specs {
					spec, _ := s.(*ast.ValueSpec)
					for i, n := range spec.Names {
						if n.Name == name && i < len(spec.Values) {
							found = append(found, spec.Values[i])
						}
					}
				}
			}
		}
	}
	return found
}

// bytesIn reads "64 KiB" or "8,192".
func bytesIn(text string) (int64, error) {
	number, unit, _ := strings.Cut(strings.ReplaceAll(text, ",", ""), " ")
	n, err := strconv.ParseInt(number, 10, 64)
	switch unit {
	case "":
	case "KiB":
		n <<= 10
	case "MiB":
		n <<= 20
	default:
		err = fmt.Errorf("unknown unit %q", unit)
	}
	return n, err
}

// The values in docs/limits.md are those of the code.
func TestLimitsAreTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	folders := goFiles(t)
	rows := regexp.MustCompile("(?m)^\\|[^|]*\\| `([a-z/]+): ([A-Za-z]+)` \\| ([^|]+) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) == 0 {
		t.Fatal("docs/limits.md has no rows")
	}
	for _, m := range rows {
		want, err := bytesIn(m[3])
		if err != nil {
			t.Errorf("%s: %v", m[2], err)
			continue
		}
		found := constants(folders, m[1], m[2])
		if len(found) == 0 {
			t.Errorf("docs/limits.md: no constant %s below %s", m[2], m[1])
		}
		for _, expr := range found {
			got, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(expr))
			if err != nil {
				t.Errorf("%s = %s: %v", m[2], types.ExprString(expr), err)
			} else if got.Value.ExactString() != strconv.FormatInt(want, 10) {
				t.Errorf("docs/limits.md: %s is %s, not %s", m[2], got.Value.ExactString(), m[3])
			}
		}
	}
}
