package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestAdmit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		used, held, most int
		met              Limit // none: admitted
	}{
		{0, 0, 8192, ""},
		{6143, 6143, 8192, ""},
		{6144, 6144, 8192, LimitListenerShare},
		{6144, 2048, 8192, LimitListenerShare},
		{6144, 2047, 8192, ""},
		{8191, 2047, 8192, ""},
		{8191, 2048, 8192, LimitListenerShare},
		{8192, 0, 8192, LimitListener},
		{9000, 9000, 8192, LimitListener}, // it was lowered
		{0, 0, 1, ""},
		{1, 1, 1, LimitListener},
		{1, 1, 2, ""},
		{2, 0, 2, LimitListener},
		{3, 3, 4, LimitListenerShare},
		{3, 0, 4, ""},
	} {
		var met Limit
		if err := admit(LimitListener, LimitListenerShare, tt.used, tt.held, tt.most); err != nil {
			met = err.Limit
			if !errors.Is(err, ErrTooMany) || met == LimitListenerShare && !strings.Contains(err.Error(), fmt.Sprint(tt.held)) {
				t.Errorf("%+v: %v", tt, err)
			}
		}
		if met != tt.met {
			t.Errorf("%+v: met %q", tt, met)
		}
	}
}

// One source may use three quarters of a listener, or of the proxy; others still get in, and all comes back.
func TestNoSourceTakesAll(t *testing.T) {
	t.Parallel()
	const perListener, all = 40, 80
	hog, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	r := New()
	r.Refuse(nil)
	var open []*Tracked
	fill := func(at string, from netip.Prefix) (n int, met Limit) {
		for {
			_, c, err := r.AddOutbound(t.Context(), at, from, perListener, all)
			if e, ok := errors.AsType[*LimitError](err); ok {
				return n, e.Limit
			}
			open = append(open, c)
			n++
		}
	}
	for _, step := range []struct {
		at   string
		from netip.Prefix
		n    int
		met  Limit
	}{
		{"a", hog, 30, LimitListenerShare},
		{"a", other, 10, LimitListener}, // its own share of a listener is a quarter
		{"b", hog, 20, LimitProxyShare}, // 60 of 80 are open
		{"c", hog, 0, LimitProxyShare},
		{"c", other, 10, LimitProxyShare}, // it has 20 now
		{"c", netip.MustParsePrefix("192.0.2.3/32"), 10, LimitProxy},
	} {
		if n, met := fill(step.at, step.from); n != step.n || met != step.met {
			t.Errorf("%v at %s: %d were admitted, then met %q; want %d, %q", step.from, step.at, n, met, step.n, step.met)
		}
	}
	for _, c := range open {
		r.Remove(c)
	}
	if len(r.held) != 0 || len(r.perOwner) != 0 || r.outbound != 0 {
		t.Errorf("left: %v, %v, %d", r.held, r.perOwner, r.outbound)
	}
}

// One service may use three quarters of what a peer may have, and one peer three quarters of what all may have; others still get in, and
// all comes back.
func TestNoServiceTakesAll(t *testing.T) {
	t.Parallel()
	const perPeer, all = 40, 60
	r := New()
	r.Refuse(nil)
	var open []*Tracked
	fill := func(peer, service string) (n int, met Limit) {
		for {
			_, c, err := r.AddInbound(t.Context(), peer, service, netip.Prefix{}, perPeer, all)
			if e, ok := errors.AsType[*LimitError](err); ok {
				return n, e.Limit
			}
			open = append(open, c)
			n++
		}
	}
	for _, tt := range []struct {
		peer, service string
		n             int
		met           Limit
	}{
		{"a", "shop/hog", 30, LimitPeerShare},
		{"a", "shop/other", 10, LimitPeer},
		{"b", "shop/hog", 15, LimitStreamsShare},
		{"c", "shop/hog", 5, LimitStreams},
	} {
		if n, met := fill(tt.peer, tt.service); n != tt.n || met != tt.met {
			t.Errorf("%s of %s: %d, then %q; want %d, %q", tt.service, tt.peer, n, met, tt.n, tt.met)
		}
	}
	if out, in := r.Used(); out != 0 || in != len(open) {
		t.Errorf("%d and %d in use", out, in)
	}
	for _, c := range open {
		r.Remove(c)
	}
	if n, met := fill("a", "shop/hog"); n != 30 || met != LimitPeerShare {
		t.Errorf("again: %d, then %q", n, met)
	}
}

// What requests count by has the same rule.
func TestShares(t *testing.T) {
	t.Parallel()
	var s Shares
	for i, tt := range []struct {
		of  string
		met Limit
	}{{"x", ""}, {"x", ""}, {"x", ""}, {"x", LimitPeerShare}, {"y", ""}, {"y", LimitPeer}} {
		err := s.Take("a", tt.of, netip.Prefix{}, 4)
		if (err == nil) != (tt.met == "") || err != nil && err.Limit != tt.met {
			t.Errorf("%d: %v", i, err)
		}
	}
	s.Give("a", "x", netip.Prefix{})
	if err := s.Take("a", "y", netip.Prefix{}, 4); err == nil {
		t.Error("y has a quarter, and three are used: the last one is not for it")
	}
	if err := s.Take("a", "z", netip.Prefix{}, 4); err != nil {
		t.Error(err)
	}
}

// One caller of a peer may use three quarters of what a service of the peer may have, whether streams or requests are counted; the peer's
// other callers still get in, and all comes back. Callers that the peer does not name have no share.
func TestNoCallerTakesAll(t *testing.T) {
	t.Parallel()
	const perPeer, all = 32, 1000
	hog, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/64")
	r, s := New(), new(Shares)
	r.Refuse(nil)
	var open []*Tracked
	var taken []func()
	add := map[string]func(service string, from netip.Prefix) *LimitError{
		"streams": func(service string, from netip.Prefix) *LimitError {
			_, c, err := r.AddInbound(t.Context(), "a", service, from, perPeer, all)
			if met, ok := errors.AsType[*LimitError](err); ok {
				return met
			}
			open = append(open, c)
			return nil
		},
		"requests": func(service string, from netip.Prefix) *LimitError {
			met := s.Take("a", service, from, perPeer)
			if met == nil {
				taken = append(taken, func() { s.Give("a", service, from) })
			}
			return met
		},
	}
	for of, one := range add {
		for _, step := range []struct {
			service string
			from    netip.Prefix
			n       int
			met     Limit
		}{
			{"shop/x", hog, 18, LimitCallerShare}, // three quarters of 24, which are three quarters of 32
			{"shop/x", other, 6, LimitPeerShare},  // a quarter of 24, and the service has all
			{"shop/y", hog, 8, LimitPeer},         // of another service
		} {
			n, met := 0, (*LimitError)(nil)
			for met == nil {
				if met = one(step.service, step.from); met == nil {
					n++
				}
			}
			if n != step.n || met.Limit != step.met || !errors.Is(met, ErrTooMany) ||
				met.Limit == LimitCallerShare && !strings.Contains(met.Error(), "18 of 24 streams that this peer may have to one service") {
				t.Errorf("%s of %v to %s: %d, then %v; want %d, %q", of, step.from, step.service, n, met, step.n, step.met)
			}
		}
	}
	for _, c := range open {
		r.Remove(c)
	}
	for _, give := range taken {
		give()
	}
	if len(r.held) != 0 || len(s.held) != 0 || len(s.used) != 0 {
		t.Errorf("left: %v, %v, %v", r.held, s.held, s.used)
	}
	for i := range 24 {
		if _, _, err := r.AddInbound(t.Context(), "a", "shop/x", netip.Prefix{}, perPeer, all); err != nil {
			t.Errorf("%d without a name: %v", i, err)
		}
	}
}
