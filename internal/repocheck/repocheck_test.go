package repocheck

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

const root = "../.."

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// goFile is a hand-written Go file.
type goFile struct {
	path   string // below root
	source []byte
	syntax *ast.File
	lines  *token.FileSet
}

func (f *goFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// files are the paths below root of which the name matches the pattern.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := find(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("no file matches %s below %s", pattern, root)
	}
	return paths
}

func find(pattern string) (paths []string, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".ci" && path != root
		if entry.IsDir() && (hidden || entry.Name() == "testdata" || entry.Name() == "bin") {
			return fs.SkipDir
		}
		if matched, err := filepath.Match(pattern, entry.Name()); err != nil || !matched || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		paths = append(paths, relative)
		return err
	})
	return paths, err
}

// goFiles are all hand-written Go files, by folder.
func goFiles(t *testing.T) map[string][]goFile {
	t.Helper()
	folders, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// parsed parses all hand-written Go files, once for all tests.
var parsed = sync.OnceValues(func() (map[string][]goFile, error) {
	paths, err := find("*.go")
	if err != nil {
		return nil, err
	}
	folders := make(map[string][]goFile)
	for _, path := range paths {
		source, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			return nil, err
		}
		lines := token.NewFileSet()
		syntax, err := parser.ParseFile(lines, path, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if !ast.IsGenerated(syntax) {
			dir := filepath.Dir(path)
			folders[dir] = append(folders[dir], goFile{path: path, source: source, syntax: syntax, lines: lines})
		}
	}
	return folders, nil
})

// Each package says in its documentation what it owns.
func TestPackagesAreDocumented(t *testing.T) {
	t.Parallel()
	for dir, files := range goFiles(t) {
		code := slices.DeleteFunc(slices.Clone(files), func(f goFile) bool { return f.isTest() })
		documented := func(f goFile) bool { return f.syntax.Doc != nil }
		if len(code) > 0 && !slices.ContainsFunc(code, documented) {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

// What is not finished is an issue, not a comment.
func TestNoLeftovers(t *testing.T) {
	t.Parallel()
	leftover := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b`)
	for _, files := range goFiles(t) {
		for _, f := range files {
			for i, line := range bytes.Split(f.source, []byte("\n")) {
				// Comments only: context's function of that name is the linter's business.
				_, comment, _ := bytes.Cut(line, []byte("//"))
				if word := leftover.Find(comment); word != nil {
					t.Errorf("%s:%d: %s", f.path, i+1, word)
				}
			}
		}
	}
}

// Each package with tests looks for goroutines that outlive them.
func TestLeaksAreChecked(t *testing.T) {
	t.Parallel()
	for dir, files := range goFiles(t) {
		tested, checked := false, false
		for _, f := range files {
			tested = tested || f.isTest()
			checked = checked || f.isTest() && bytes.Contains(f.source, []byte("goleak."))
		}
		if tested && !checked {
			t.Errorf("package %s has tests, but no goleak.VerifyTestMain in its TestMain", dir)
		}
	}
}

// What cannot be tested everywhere goes through package need, which leaves nothing out in continuous integration.
func TestNobodySkips(t *testing.T) {
	t.Parallel()
	skip := regexp.MustCompile(`\bt\.Skip(f|Now)?\(`)
	for dir, files := range goFiles(t) {
		for _, f := range files {
			if skip.Match(f.source) && filepath.Base(dir) != "need" {
				t.Errorf("%s skips tests: call need.Missing and say what to install", f.path)
			}
		}
	}
}

// Links between documents and `make` targets that they name do exist.
func TestDocumentsAreTrue(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var (
		link    = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
		command = regexp.MustCompile("(?m)(?:^|`|\\$ )make ([a-z][a-z0-9-]*)")
	)
	for _, path := range files(t, "*.md") {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			target := filepath.Join(root, filepath.Dir(path), string(m[1]))
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
			}
		}
		for _, m := range command.FindAllSubmatch(text, -1) {
			if !bytes.Contains(makefile, append([]byte("\n"), append(m[1], ':')...)) {
				t.Errorf("%s names `make %s`, which the Makefile does not have", path, m[1])
			}
		}
	}
}
