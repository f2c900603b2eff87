package notify

import "sync"

// Broadcast wakes all that wait for a change. The zero value is ready to use; its methods may be called from any goroutine.
//
// Take the channel first, then look at the state, and no change is missed:
//
//	for {
//		changed := b.Changed()
//		use(state())
//		<-changed
//	}
type Broadcast struct {
	mu      sync.Mutex
	changed chan struct{} // nil: nothing waits
}

// Changed returns a channel that the next Notify closes.
func (b *Broadcast) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// Notify closes the channel that Changed returned, after the state has changed.
func (b *Broadcast) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// Signal wakes one loop, which receives from it. It holds one notification, so that none is lost while the loop is busy. Make
// it with NewSignal; on a nil Signal, Notify does nothing and a receive blocks.
type Signal chan struct{}

// NewSignal returns a Signal without a notification.
func NewSignal() Signal { return make(Signal, 1) }

// Notify leaves a notification, unless one is there already.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Clear takes back a notification that is answered by what comes next.
func (s Signal) Clear() {
	select {
	case <-s:
	default:
	}
}
