// Package recent remembers the newest of many things.
package recent

// Set has the newest keys that were added, without those that were taken. It is for one goroutine at a time.
type Set[K comparable] struct {
	most  int
	keys  map[K]struct{}
	added []K // a ring
	next  int
}

// NewSet remembers so many keys at most.
func NewSet[K comparable](most int) *Set[K] { return &Set[K]{most: most, keys: make(map[K]struct{})} }

// Add remembers k in place of the oldest key, if there are as many as there may be.
func (s *Set[K]) Add(k K) {
	if len(s.added) < s.most {
		s.added = append(s.added, k)
	} else {
		delete(s.keys, s.added[s.next])
		s.added[s.next] = k
		s.next = (s.next + 1) % s.most
	}
	s.keys[k] = struct{}{}
}

// Take forgets k; false: it is not there.
func (s *Set[K]) Take(k K) bool {
	_, ok := s.keys[k]
	delete(s.keys, k)
	return ok
}
