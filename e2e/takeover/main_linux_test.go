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
)

func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		if _, err := netns.Sweep(); err != nil { // of tests that were killed
			fmt.Fprintln(os.Stderr, err)
		}
	}
	goleak.VerifyTestMain(m)
}

// need skips the test, or fails it in CI, when the machine lacks something.
func need(t *testing.T) {
	t.Helper()
	message := ""
	if os.Geteuid() != 0 {
		message = "network namespaces need root: run the test with sudo"
	}
	for program, pkg := range map[string]string{"ip": "iproute2", "nft": "nftables"} {
		if _, err := exec.LookPath(program); err != nil {
			message = program + " is missing: apt-get install " + pkg
		}
	}
	switch {
	case message == "":
	case os.Getenv("CI") != "":
		t.Fatal(message)
	default:
		t.Skip(message)
	}
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
