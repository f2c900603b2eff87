package tunnel

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// shortLeases are credentials whose certificates expire soon.
type shortLeases struct {
	Credentials
	renew, end time.Duration
}

func (c shortLeases) Lease(tls.ConnectionState) (renew, end time.Time) {
	return time.Now().Add(c.renew), time.Now().Add(c.end)
}

// TestLeases: before certificates expire, other connections take the place of those that were made with them: no call notices. A
// stream that has not ended when a certificate expires is reset, and the next call works.
func TestLeases(t *testing.T) {
	t.Parallel()
	const renew, end = time.Minute, 2 * time.Minute
	opts := []pairOption{withHandler(echo), func(a, b *Config) {
		a.Credentials = shortLeases{a.Credentials, renew, end}
		b.Credentials = shortLeases{b.Credentials, 2 * end, end + time.Second} // only the dialer replaces connections
	}}
	forBubbles(t, opts, func(t *testing.T, p *bubbled) {
		old := onlyLink(t, p.a).connections()
		long := p.open(t)
		mustEcho(t, long)
		began := time.Now()
		for time.Since(began) < end-5*time.Second {
			if !p.a.State("b").Usable {
				t.Fatalf("not usable after %v", time.Since(began))
			}
			s := p.open(t)
			mustEcho(t, s)
			s.Reset("over")
			bubble.Pass(200 * time.Millisecond)
		}
		mustEcho(t, long)
		l := onlyLink(t, p.a)
		for _, c := range l.connections() {
			for _, o := range old {
				if c == o && c != long.conn {
					t.Errorf("%s is still there", c.name)
				}
			}
		}
		bubble.Pass(10 * time.Second)
		if _, err := io.ReadAll(long); !errors.Is(err, ErrReset) {
			t.Errorf("on an expired connection: %v", err)
		}
		mustEcho(t, p.open(t))
		if onlyLink(t, p.a) != l {
			t.Error("the link was replaced")
		}
	})
}
