package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A small run, so that the benchmark works when it is needed.
func TestScale(t *testing.T) {
	if os.Getenv(lab.UserVariable) != "" {
		need.Missing(t, "unset "+lab.UserVariable+": processes are started on the nodes, which must be a lab's")
	}
	need.Support(t, lab.Supported())
	o := defaults()
	o.services, o.peers, o.deltas, o.idle, o.progress = 50, 2, 5, 2*time.Second, os.Stderr
	o.dir = filepath.Join("..", "..", "bin", "e2e", "scale-test")
	r, err := run(t.Context(), o)
	r.print(os.Stderr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.judge(nil); err != nil {
		t.Error(err)
	}
	for _, f := range r.Figures {
		counted := f.Unit == times || strings.Contains(f.Name, "CPU") // may be none, or too little to be seen
		if !counted && f.Value <= 0 {
			t.Errorf("%s was not measured", f.Name)
		}
	}
}
