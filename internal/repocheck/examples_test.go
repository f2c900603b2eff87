package repocheck

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each package whose functions others use shows by an Example with output how that is done. What cmd/eastway alone wires together
// is shown there; a package of plain types or generated code has nothing to show.
func TestPackagesHaveExamples(t *testing.T) {
	t.Parallel()
	folders := goFiles(t)
	users := usersOf(folders)
	for dir, files := range folders {
		if len(users[dir]) > 0 && hasFunctions(files) && !hasExample(files) {
			t.Errorf("package %s has no Example with output, but is used by %s", dir, strings.Join(users[dir], ", "))
		}
	}
}

// usersOf are the packages that import each package, without those of its own family, programs and test code.
func usersOf(folders map[string][]goFile) map[string][]string {
	users := make(map[string][]string)
	for dir, files := range folders {
		if slices.Contains([]string{"cmd", "e2e", "internal/sim"}, family(dir)) {
			continue
		}
		for i := range files {
			if files[i].isTest() {
				continue
			}
			for _, spec := range files[i].syntax.Imports {
				used, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
				if ours && family(used) != family(dir) && !slices.Contains(users[used], dir) {
					users[used] = append(users[used], dir)
				}
			}
		}
	}
	return users
}

// family of a package: its top folder, or that below internal.
func family(dir string) string {
	first, rest, _ := strings.Cut(dir, "/")
	if first != "internal" {
		return first
	}
	second, _, _ := strings.Cut(rest, "/")
	return first + "/" + second
}

// hasFunctions: the package exports a function.
func hasFunctions(files []goFile) bool {
	for i := range files {
		for _, d := range files[i].syntax.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && !files[i].isTest() && f.Recv == nil && f.Name.IsExported() {
				return true
			}
		}
	}
	return false
}

var output = regexp.MustCompile(`(?i)^(unordered )?output:`)

// hasExample: one that runs, because it says what it prints.
func hasExample(files []goFile) bool {
	for i := range files {
		for _, d := range files[i].syntax.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !files[i].isTest() || !strings.HasPrefix(f.Name.Name, "Example") {
				continue
			}
			for _, c := range files[i].syntax.Comments {
				if c.Pos() > f.Pos() && c.End() <= f.End() && output.MatchString(c.Text()) {
					return true
				}
			}
		}
	}
	return false
}
