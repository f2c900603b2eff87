package takeover

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		if _, err := netns.Sweep(); err != nil { // of tests that were killed
			fmt.Fprintln(os.Stderr, err)
		}
	}
	goleak.VerifyTestMain(m)
}

// needTools skips the test, or fails it in CI, when the machine lacks something.
func needTools(t *testing.T) {
	t.Helper()
	need.Root(t)
	need.Program(t, "ip", "iproute2")
	need.Program(t, "nft", "nftables")
}

// run executes a program, with input, and returns what it says.
func run(t *testing.T, input string, args ...string) string {
	t.Helper()
	// Cleaning up has to work after the test's context has ended.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// eventually waits for a condition, and fails the test if it does not come true.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}
