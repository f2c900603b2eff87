package transport

import "time"

// Move tries one new socket after another until the peer is heard or the session has ended.
func (s *quicSession) Move(ping func()) MoveResult {
	if s.socket == nil {
		return Unmoved
	}
	search := s.socket.startSearch()
	if search == nil {
		return Unmoved
	}
	result := s.searchPath(ping, search)
	s.socket.endSearch(search)
	select {
	case <-search.moved:
		return Moved
	default:
		return result
	}
}

func (s *quicSession) searchPath(ping func(), search *pathSearch) MoveResult {
	t := time.NewTicker(pathCheck)
	defer t.Stop()
	heard := s.received()
	var last time.Time
	for tries := 0; ; {
		if time.Since(last) >= pathProbeInterval {
			last = time.Now()
			if tries < maxPathProbes {
				tries++
				_ = s.socket.try(search) // without a socket the search goes on with those that there are
			}
			ping() // something has to be sent
		}
		select {
		case <-search.moved:
			return Moved
		case <-s.Done():
			return Failed
		case <-t.C:
		}
		if s.received() != heard {
			return Recovered
		}
	}
}
