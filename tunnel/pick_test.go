package tunnel

import "testing"

// TestRankBeforeBusyness: a stream that may become bulk is not opened on QUIC while a TCP lane takes it, however busy that is.
func TestRankBeforeBusyness(t *testing.T) {
	t.Parallel()
	p := newPair(t, withHandler(echo))
	await(t, "lanes of both", func() bool { return lanesOf(p.a, "tcp") > 0 && lanesOf(p.a, "quic") > 0 })
	for i := range 12 {
		if s := p.open(t); s.Info().Transport != "tcp" {
			t.Errorf("stream %d was opened on %s", i, s.Info().Lane)
		}
	}
}
