package admission

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Newcomers bounds how often replicas of a peer connect anew: each costs some handshakes, an exchange of all that is exported, and the
// work that follows. The zero value knows none. It is safe for concurrent use.
type Newcomers struct {
	mu    sync.Mutex
	peers map[string]*rate.Limiter
}

// Admit counts a replica of a peer, or returns how long it has to wait.
func (n *Newcomers) Admit(peer string, now time.Time) (wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.peers[peer]
	if l == nil {
		if n.peers == nil {
			n.peers = make(map[string]*rate.Limiter)
		}
		l = rate.NewLimiter(NewcomerRate, MaxNewcomers)
		n.peers[peer] = l
	}
	r := l.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}
