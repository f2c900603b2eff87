package health

// state is what the checks of one endpoint have shown. The zero value is that of an endpoint without results: it is used, because its
// cluster takes it to be ready. Envoy keeps such an endpoint out of use until its first check.
type state struct {
	failing bool
	// row is how many of the newest results contradict failing.
	row uint32
	// unknown: the first result decides by itself. The endpoint was there before its checks, so nothing is known of it.
	unknown bool
}

// record takes the result of a check and returns true when the endpoint is to be taken for something else from now on. Any failure counts
// towards the threshold; for Envoy an answer that is not expected is enough by itself.
func (s *state) record(failed bool, p *plan) (changed bool) {
	known := !s.unknown
	s.unknown = false
	if failed == s.failing {
		s.row = 0
		return false
	}
	s.row++
	threshold := p.healthy
	if failed {
		threshold = p.unhealthy
	}
	if known && s.row < threshold {
		return false
	}
	s.failing, s.row = failed, 0
	return true
}
