package registry

import "sync"

// Shares counts what several owners have, by what it is for, and lets none of these use up all that its owner may have. The zero value
// is ready to use, by any number of goroutines.
type Shares struct {
	mu   sync.Mutex
	used map[string]int
	held map[holder]int
}

// Take counts one more of the owner's, up to most; not nil: it has as many as it may have, or its last quarter is for others.
func (s *Shares) Take(owner, of string, most int) *LimitError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used, s.held = make(map[string]int), make(map[holder]int)
	}
	if met := admit(LimitPeer, LimitPeerShare, s.used[owner], s.held[holder{owner: owner, service: of}], most); met != nil {
		return met
	}
	s.addLocked(owner, of, 1)
	return nil
}

// Give ends what Take has counted.
func (s *Shares) Give(owner, of string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(owner, of, -1)
}

func (s *Shares) addLocked(owner, of string, n int) {
	add(s.used, owner, n)
	add(s.held, holder{owner: owner, service: of}, n)
}
