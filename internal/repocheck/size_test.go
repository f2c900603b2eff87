package repocheck

import (
	"bytes"
	"go/ast"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	// maxTypeLines of one type: its declaration and all its methods, over all files, without their comments. More is more
	// than one concept, and moving methods to another file does not make it less.
	maxTypeLines = 450
	// maxFileLines of one file: a type at its bound fits in with its comments and what belongs to it.
	maxFileLines = 600
	// maxPackageLines of one package without its tests.
	maxPackageLines = 4000
)

// tooLarge are the types and packages above their bounds, with the lines that they may have: these only ever get fewer.
var tooLarge = map[string]int{
	"cmd/eastway":                        4500,
	"internal/controller/mcs.Reconciler": 470,
	"internal/kubecli.Cluster":           870,
	"internal/kubecli/check.facts":       1020,
	"tunnel.Node":                        650,
	"tunnel.link":                        730,
}

// bound reports what is larger than it may be.
func bound(t *testing.T, what string, lines, most int) {
	t.Helper()
	allowed, known := tooLarge[what]
	switch {
	case known && lines <= most:
		t.Errorf("%s has %d lines, at most %d: take it out of tooLarge", what, lines, most)
	case known && lines > allowed:
		t.Errorf("%s has %d lines, more than the %d that it had: make it smaller", what, lines, allowed)
	case !known && lines > most:
		t.Errorf("%s has %d lines, more than %d: which concept can become a type or package of its own?", what, lines, most)
	}
}

func TestTypesAreSmall(t *testing.T) {
	t.Parallel()
	for dir, files := range goFiles(t) {
		if isEndToEnd(dir) {
			continue
		}
		for name, lines := range linesOfTypes(files) {
			bound(t, dir+"."+name, lines, maxTypeLines)
		}
	}
}

// linesOfTypes are the lines of each type and its methods in the code of a package.
func linesOfTypes(files []goFile) map[string]int {
	lines := make(map[string]int)
	for i := range files {
		f := &files[i]
		if f.isTest() {
			continue
		}
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					lines[receiver(d.Recv.List[0].Type)] += f.linesOf(d)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						lines[spec.Name.Name] += f.linesOf(spec)
					}
				}
			}
		}
	}
	return lines
}

// linesOf a declaration, without the comment above it.
func (f *goFile) linesOf(n ast.Node) int {
	return f.lines.Position(n.End()).Line - f.lines.Position(n.Pos()).Line + 1
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	for {
		switch t := e.(type) {
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.IndexListExpr:
			e = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func TestPackagesAreSmall(t *testing.T) {
	t.Parallel()
	for dir, files := range goFiles(t) {
		total := 0
		for i := range files {
			if !files[i].isTest() {
				total += bytes.Count(files[i].source, []byte("\n"))
			}
		}
		bound(t, dir, total, maxPackageLines)
	}
}

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for _, files := range goFiles(t) {
		for i := range files {
			if lines := bytes.Count(files[i].source, []byte("\n")); lines > maxFileLines {
				t.Errorf("%s has %d lines, more than %d: which concept can move to a file of its own?", files[i].path, lines, maxFileLines)
			}
		}
	}
}

// What tooLarge names exists.
func TestTooLargeIsTrue(t *testing.T) {
	t.Parallel()
	folders := goFiles(t)
	for _, what := range slices.Sorted(maps.Keys(tooLarge)) {
		files, isPackage := folders[what]
		if isPackage && len(files) > 0 {
			continue
		}
		dir, name, _ := strings.Cut(filepath.Base(what), ".")
		if _, ok := linesOfTypes(folders[filepath.Join(filepath.Dir(what), dir)])[name]; !ok {
			t.Errorf("tooLarge names %s, which does not exist", what)
		}
	}
}

// isEndToEnd: tests' own clusters and drills, which are bound by their folder's subject only.
func isEndToEnd(dir string) bool { return dir == "e2e" || strings.HasPrefix(dir, "e2e/") }
