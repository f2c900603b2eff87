package lab

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/machine"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		err := Await(t.Context(), "the third answer", time.Minute, func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		})
		if err != nil || asked != 3 || time.Since(began) != 2*pollTime {
			t.Errorf("asked %d times in %v: %v", asked, time.Since(began), err)
		}

		missing := errors.New("no answer yet")
		began = time.Now()
		err = Await(t.Context(), "an answer", time.Minute, func(ctx context.Context) error {
			if time.Since(began) < time.Minute-callTime/2 {
				return missing
			}
			<-ctx.Done() // hangs: what is missing is what was said before
			return ctx.Err()
		})
		if !errors.Is(err, missing) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		for _, part := range []string{"wait for an answer", "not within 1m0s", "no answer yet"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not say %q", err, part)
			}
		}
	})
}

// The wait for a daemon ends with the daemon, and the error has the end of its log.
func TestAwaitDaemon(t *testing.T) {
	needSupport(t)
	t.Parallel()
	programs := t.TempDir()
	if err := (binaries.Builder{}).Own(t.Context(), programs, "e2e/cluster/machine/init"); err != nil {
		t.Fatal(err)
	}
	m, err := machine.Start(t.Context(), machine.Config{
		Dir: filepath.Join(programs, "m"), Hostname: "m", Init: filepath.Join(programs, "init"), Programs: programs,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Kill(context.WithoutCancel(t.Context()))
	if err := m.Run(t.Context(), machine.Daemon{Name: "broken", Args: []string{"sh", "-c", "echo no such luck; exit 3"}}); err != nil {
		t.Fatal(err)
	}
	never := errors.New("no answer")
	err = wait{
		what: "the broken one", limit: time.Minute, by: []daemonRef{{m, "broken"}},
		done: func(context.Context) error { return never },
	}.run(t.Context())
	for _, part := range []string{"wait for the broken one", "broken on m ended (exit status 3)", "no such luck", m.Log("broken")} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
}
