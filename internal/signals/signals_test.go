package signals_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/signals"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	caught := signals.Catch()
	defer caught.Stop()
	ctx, stop := context.WithCancel(context.Background())
	_ = syscall.Kill(os.Getpid(), syscall.SIGHUP) // as `kill -HUP` does; one that comes before Run is not lost
	_ = caught.Run(ctx, zap.NewNop(), func() {
		fmt.Println("log reopened")
		stop()
	})
	// Output: log reopened
}

func TestReloadForEachSignal(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1} {
		caught := signals.Catch()
		ctx, stop := context.WithCancel(t.Context())
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		calls := 0
		if err := caught.Run(ctx, zap.NewNop(), func() { calls++; stop() }); err != nil || calls != 1 {
			t.Errorf("%v: %d calls, %v", s, calls, err)
		}
		caught.Stop()
	}
}
