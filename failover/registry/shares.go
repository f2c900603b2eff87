package registry

import (
	"net/netip"
	"sync"
)

// Shares counts what several owners have, by what it is for, and lets none of these use up all that its owner may have. The zero value
// is ready to use, by any number of goroutines.
type Shares struct {
	mu   sync.Mutex
	used map[string]int
	held map[holder]int
}

// Take counts one more of the owner's for one of its callers, up to most; not nil: the owner has as many as it may have, or its last quarter
// is for others, or that of this use is for other callers. Without an owner nothing is counted.
func (s *Shares) Take(owner, of string, from netip.Prefix, most int) *LimitError {
	if owner == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used, s.held = make(map[string]int), make(map[holder]int)
	}
	held := s.held[holder{owner: owner, service: of}]
	if met := admit(LimitPeer, LimitPeerShare, s.used[owner], held, most); met != nil {
		return met
	}
	if met := admitFrom(from, held, s.held[holder{owner: owner, service: of, source: from}], most); met != nil {
		return met
	}
	s.addLocked(owner, of, from, 1)
	return nil
}

// Give ends what Take has counted.
func (s *Shares) Give(owner, of string, from netip.Prefix) {
	if owner == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(owner, of, from, -1)
}

func (s *Shares) addLocked(owner, of string, from netip.Prefix, n int) {
	add(s.used, owner, n)
	countInbound(s.held, owner, of, from, n)
}
