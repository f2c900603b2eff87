package convert

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files again")

func manifests(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "*", "*.yaml"))
	if err != nil || len(names) < 30 {
		t.Fatal(names, err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The manifests of the drills and many shapes that are common give what their golden files have: notes, a line of ===, and YAML.
func TestManifests(t *testing.T) {
	t.Parallel()
	for _, name := range manifests(t) {
		got, err := convert([]input{{filepath.Base(name), read(t, name)}})
		if err != nil {
			t.Fatal(err)
		}
		var notes, out strings.Builder
		if err := got.write(&out, &notes); err != nil {
			t.Fatal(err)
		}
		golden(t, strings.TrimSuffix(name, ".yaml")+".golden", notes.String()+"===\n"+out.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := string(read(t, name)); got != want {
		t.Errorf("differs from %s (go test -update):\n%s\nwant:\n%s", name, got, want)
	}
}
