//go:build ignore

package istio

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the list anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The list that discovery/istio is compared with is that of Istio's newest API.
func TestFields(t *testing.T) {
	t.Parallel()
	name := filepath.Join("..", "..", "discovery", "istio", "testdata", "fields.txt")
	got := fields()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what istio.io/api has: run it with -update, then the tests of discovery/istio", name)
	}
}
