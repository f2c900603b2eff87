package notify

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestBroadcast(t *testing.T) {
	t.Parallel()
	var b Broadcast
	b.Notify() // nothing waits
	first, second := b.Changed(), b.Changed()
	if closed(first) || closed(second) {
		t.Fatal("changed before Notify")
	}
	b.Notify()
	if !closed(first) || !closed(second) {
		t.Fatal("not changed after Notify")
	}
	if closed(b.Changed()) {
		t.Fatal("a channel taken after Notify is closed before the next")
	}
}

func TestBroadcastWakesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b Broadcast
		var state, seen sync.Map
		var wg sync.WaitGroup
		for waiter := range 10 {
			wg.Go(func() {
				for {
					changed := b.Changed()
					if _, ok := state.Load("done"); ok {
						seen.Store(waiter, true)
						return
					}
					<-changed
				}
			})
		}
		synctest.Wait()
		b.Notify() // for no reason: all look again
		synctest.Wait()
		state.Store("done", true)
		b.Notify()
		wg.Wait()
		for waiter := range 10 {
			if _, ok := seen.Load(waiter); !ok {
				t.Errorf("waiter %d was not woken", waiter)
			}
		}
	})
}

func TestSignal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		s    Signal
		do   func(Signal)
		want bool // a notification is there
	}{
		{"nothing", NewSignal(), func(Signal) {}, false},
		{"one", NewSignal(), func(s Signal) { s.Notify() }, true},
		{"cleared", NewSignal(), func(s Signal) { s.Notify(); s.Clear() }, false},
		{"nothing to clear", NewSignal(), func(s Signal) { s.Clear() }, false},
		{"after clearing", NewSignal(), func(s Signal) { s.Clear(); s.Notify() }, true},
		{"nil", nil, func(s Signal) { s.Notify(); s.Clear() }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.do(test.s)
			if got := closed(test.s); got != test.want {
				t.Errorf("a notification is there: %v, want %v", got, test.want)
			}
		})
	}
}

func TestSignalHoldsOne(t *testing.T) {
	t.Parallel()
	s := NewSignal()
	for range 3 {
		s.Notify()
	}
	if !closed(s) || closed(s) {
		t.Error("three notifications before the loop looks are not one")
	}
}

func ExampleBroadcast() {
	var b Broadcast
	changed := b.Changed()
	b.Notify()
	<-changed
	fmt.Println("changed")
	// Output: changed
}

func ExampleSignal() {
	s := NewSignal()
	s.Notify()
	s.Notify()
	<-s
	fmt.Println("woken, and", len(s), "notifications left")
	// Output: woken, and 0 notifications left
}
