package bubble_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var rang atomic.Bool
		time.AfterFunc(time.Hour, func() { rang.Store(true) })
		bubble.Pass(time.Hour - 1)
		if rang.Load() {
			t.Error("too much time has passed")
		}
		bubble.Pass(1)
		if !rang.Load() || time.Since(began) != time.Hour {
			t.Errorf("rang: %t, after %v", rang.Load(), time.Since(began))
		}
	})
}

func TestPassOutsideABubble(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("it waited in real time")
		}
	}()
	bubble.Pass(time.Nanosecond)
}
