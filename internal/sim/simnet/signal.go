package simnet

// signal wakes everything that waits for a change. Its lock is the network's.
type signal struct{ ch chan struct{} }

func newSignal() signal { return signal{ch: make(chan struct{})} }

// next is closed by the next change.
func (s *signal) next() <-chan struct{} { return s.ch }

func (s *signal) wake() {
	close(s.ch)
	s.ch = make(chan struct{})
}
