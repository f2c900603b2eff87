package binaries

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every module pins what its recipe stamps, and its tools are there to be built.
func TestRecipes(t *testing.T) {
	t.Parallel()
	for _, m := range Modules() {
		recipe := m.recipe()
		version, err := pinnedVersion(t.Context(), string(m), recipe.pinned)
		if err != nil || !strings.HasPrefix(version, "v") {
			t.Errorf("%s: version %q, %v", m, version, err)
		}
		text, err := os.ReadFile(filepath.Join(string(m), "go.mod"))
		if err != nil || !bytes.Contains(text, []byte("tool ")) {
			t.Errorf("%s has no tools: %v", m, err)
		}
	}
	const variable = "-X k8s.io/component-base/version."
	want := "-s -w " + variable + "gitVersion=v1.34.4 " + variable + "gitMajor=1 " + variable + "gitMinor=34"
	if flags := Kubernetes.recipe().ldflags("v1.34.4"); flags != want {
		t.Errorf("flags %s, want %s", flags, want)
	}
	if _, err := (Builder{Cache: t.TempDir()}).Programs(t.Context(), "nonsense"); err == nil {
		t.Error("a module that is not there is built")
	}
}

// The key changes with all that changes the programs.
func TestCacheKey(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]string)
	take := func(what string, isNew bool, flags ...string) {
		t.Helper()
		key, err := cacheKey(t.Context(), source, flags)
		if err != nil {
			t.Fatal(err)
		}
		if other, known := seen[key]; known == isNew {
			t.Errorf("%s: the key is that of %q", what, other)
		}
		seen[key] = what
	}
	write("go.mod", "module a\n")
	write("go.sum", "")
	take("first", true, "-x")
	take("again", false, "-x")
	take("other flags", true, "-y")
	write("go.sum", "sum\n")
	take("other sums", true, "-x")
	write("go.mod", "module b\n")
	take("other module", true, "-x")
}

// Two that want the same wait for each other.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() { t.Error("it waits for a lock that is free") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lock(ctx, path, cancel); err == nil {
		t.Error("locked twice")
	}
	got := make(chan error)
	go func() {
		again, err := lock(t.Context(), path, unlock)
		if err == nil {
			again()
		}
		got <- err
	}()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := newMeter(&out, "module", 3)
		m.Write([]byte("go: downloading x v1\nfirst/pack"))
		m.Write([]byte("age\n"))
		bubble.Pass(meterTime)
		m.Write([]byte("second\n# broken\nbroken/file.go:1: no such thing\nlast words"))
		if want := "module: 2 of 3 packages compiled after 15s\n"; out.String() != want {
			t.Errorf("said %q, want %q", out.String(), want)
		}
		if want := "# broken\nbroken/file.go:1: no such thing\nlast words"; m.complaints() != want {
			t.Errorf("complaints %q, want %q", m.complaints(), want)
		}
	})
}

// What fails to compile is told, and nothing is left that looks like a build.
func TestBuildFails(t *testing.T) {
	t.Parallel()
	source, folder := t.TempDir(), filepath.Join(t.TempDir(), "built")
	for name, text := range map[string]string{
		"go.mod":  "module broken\n\ngo 1.26\n\ntool broken\n",
		"main.go": "package main\n\nfunc main() { no such thing }\n",
	} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, progress := range []*bytes.Buffer{nil, {}} {
		b := Builder{}
		if progress != nil {
			b.Progress = progress
		}
		if err := b.build(t.Context(), "broken", source, folder, nil); err == nil || !strings.Contains(err.Error(), "main.go:3") {
			t.Errorf("it said: %v", err)
		}
		if built(folder) {
			t.Error("it is there")
		}
	}
	if err := os.WriteFile(filepath.Join(source, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Builder{}).build(t.Context(), "repaired", source, folder, nil); err != nil || !built(filepath.Join(folder, "broken")) {
		t.Errorf("not built: %v", err)
	}
}

// Own programs replace those that are there; litter of killed processes goes.
func TestOwn(t *testing.T) {
	t.Parallel()
	b, folder := Builder{Cache: t.TempDir()}, t.TempDir()
	litter, fresh := filepath.Join(b.Cache, scratchPrefix+"old"), filepath.Join(b.Cache, scratchPrefix+"new")
	for _, dir := range []string{litter, fresh} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(litter, time.Time{}, time.Now().Add(-litterTime-time.Minute)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.Own(t.Context(), folder, "e2e/cluster/image/pause"); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(folder, "pause")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("not built: %v, %v", info, err)
	}
	if left, err := os.ReadDir(b.Cache); err != nil || len(left) != 1 || left[0].Name() != filepath.Base(fresh) {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
	if err := b.Own(t.Context(), folder, "e2e/no/such/package"); err == nil {
		t.Error("built what is not there")
	}
}
