package serve

import (
	"sync"
	"time"
)

// stall bounds how long one read or write of a stream of HTTP/2 takes. The deadlines of net/http count there while nothing is read or written,
// too: they would end streams that pause, or whose backend does.
type stall struct {
	timer *time.Timer // nil: nothing was bounded yet

	mu     sync.Mutex
	expire func() // while something is under way: ends it
	late   bool
}

// begin is called before a read or write, and end after it.
func (s *stall) begin(limit time.Duration, expire func()) {
	s.mu.Lock()
	s.expire = expire
	s.mu.Unlock()
	if s.timer == nil {
		s.timer = time.AfterFunc(limit, s.fire)
		return
	}
	s.timer.Reset(limit)
}

func (s *stall) end() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire = nil
}

func (s *stall) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expire != nil { // else it has just ended, and the stream with it perhaps
		s.late = true
		s.expire()
	}
}

// happened: one has taken too long.
func (s *stall) happened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late
}
