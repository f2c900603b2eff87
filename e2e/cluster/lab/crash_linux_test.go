package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// starterVariable makes the test program bring up the lab of this name.
const starterVariable = "EASTWAY_TEST_LAB"

// startAndDie is the other process of TestStarterKilled.
func startAndDie(ctx context.Context, name string) error {
	_, err := Up(ctx, Config{Name: name, Clusters: 1, Nodes: 1, Progress: os.Stdout})
	return err
}

// A starter is killed while everything is half done: what is there is found and removed.
func TestStarterKilled(t *testing.T) {
	needSupport(t)
	const name = "lab-test-killed"
	if err := Down(t.Context(), name); err != nil { // of an earlier run
		t.Fatal(err)
	}
	starter := exec.CommandContext(t.Context(), os.Args[0])
	starter.Env = append(os.Environ(), starterVariable+"="+name)
	var output bytes.Buffer
	starter.Stdout, starter.Stderr = &output, &output
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node's machine to be there", func(context.Context) error {
		machines, err := machine.Find(labDir(name))
		if err == nil && len(machines) < 4 {
			err = errors.New("not yet")
		}
		return err
	})
	if err := starter.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := starter.Wait(); err == nil {
		t.Fatalf("it was not killed, but ended: %s", output.Bytes())
	}
	half, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if half.state.Ready {
		t.Errorf("it was up before it was killed: %s", output.Bytes())
	}
	if _, err := Up(t.Context(), Config{Name: name}); !errors.Is(err, ErrUp) {
		t.Errorf("another one of this name: %v", err)
	}
	before := remember(t, half)
	if err := replace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	before.checkGone(t)
}

// One that cannot come up says why, with the log of what failed, and leaves nothing.
func TestUpFails(t *testing.T) {
	needSupport(t)
	const name = "lab-test-fails"
	if err := Down(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("changed my mind")
	c := Config{Name: name, Clusters: 1, Nodes: 1, Progress: hook(func() { cancel(reason) })}
	if _, err := Up(ctx, c); !errors.Is(err, reason) {
		t.Errorf("canceled, it says: %v", err)
	}
	traces{name: name, device: "none"}.checkGone(t)
}

// hook is called when a lab tells of its first progress.
type hook func()

func (h hook) Write(text []byte) (int, error) {
	h()
	return len(text), nil
}
