package failover

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

const (
	unavailable = tunnelpb.Answer_CODE_UNAVAILABLE
	draining    = tunnelpb.Answer_CODE_DRAINING
	overloaded  = tunnelpb.Answer_CODE_OVERLOADED
)

// TestAttempts: an application sends a request and its end at once.
func TestAttempts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		setup []setup
		want  string // the answer; "" is a reset
		// attempts, with DEAD for an address where nothing listens and LIVE for one that accepts.
		attempts []string
		// streams is what each stream to a peer had got before it was answered.
		streams []string
	}{
		"own zone first": {
			setup:    []setup{locals("LIVE", here, "LIVE2", beside), peer("a", here, &fakePeer{handle: silent})},
			want:     "LIVE got hi",
			attempts: []string{"LIVE accepted"},
		},
		"own region before peers": {
			setup:    []setup{locals("DEAD", here, "LIVE", beside), peer("a", here, &fakePeer{handle: silent})},
			want:     "LIVE got hi",
			attempts: []string{"DEAD refused", "LIVE accepted"},
		},
		"peer when all of the own cluster refuse": {
			setup:    []setup{locals("DEAD", here, "DEAD", beside), peer("a", abroad, &fakePeer{handle: accepts("a")})},
			want:     "a got hi",
			attempts: []string{"DEAD refused", "DEAD refused", "a accepted"},
		},
		"terminating only when nothing is ready anywhere": {
			setup:    []setup{locals("LIVE", here), terminating, peer("a", abroad, &fakePeer{handle: accepts("a")})},
			want:     "a got hi",
			attempts: []string{"a accepted"},
		},
		"terminating, and the ready peer refuses": {
			setup:    []setup{locals("LIVE", here), terminating, peer("a", abroad, &fakePeer{handle: refusesAfter("hi", unavailable)})},
			want:     "LIVE got hi",
			attempts: []string{"a refused", "LIVE accepted"},
		},
		"refused with bytes sent: replayed, with the end": {
			setup: []setup{
				peer("a", abroad, &fakePeer{handle: refusesAfter("hi", unavailable)}),
				peer("b", abroad, &fakePeer{handle: accepts("b")}),
			},
			want:     "b got hi",
			attempts: []string{"a refused", "b accepted"},
			streams:  []string{"hi", "hi"},
		},
		"the end goes out early too": {
			setup: []setup{
				peer("a", abroad, &fakePeer{handle: afterEnd(refusesAfter("hi", unavailable))}),
				peer("b", abroad, &fakePeer{handle: afterEnd(accepts("b"))}),
			},
			want:     "b got hi",
			attempts: []string{"a refused", "b accepted"},
		},
		"refused by all": {
			setup: []setup{
				peer("a", abroad, &fakePeer{handle: refusesAfter("hi", unavailable)}),
				peer("b", abroad, &fakePeer{handle: refusesAfter("hi", overloaded)}),
			},
			attempts: []string{"a refused", "b limit"},
			streams:  []string{"hi", "hi"},
		},
		"lost with bytes sent: never again": {
			setup: []setup{
				peer("a", abroad, &fakePeer{handle: diesAfter("hi"), replicas: []string{"a-1", "a-2"}}),
				peer("b", abroad, &fakePeer{handle: accepts("b")}),
			},
			attempts: []string{"a unknown"},
			streams:  []string{"hi"},
		},
		"quiet lane: bytes are held, loss is harmless": {
			setup: []setup{
				peer("a", abroad, &fakePeer{quiet: true, handle: func(in *fakeIncoming) { in.die() }}),
				peer("b", abroad, &fakePeer{quiet: true, handle: accepts("b")}),
			},
			want:     "b got hi",
			attempts: []string{"a lost", "b accepted"},
		},
		"quiet lane goes silent: moves on at once": {
			setup: []setup{
				peer("a", abroad, &fakePeer{quiet: true, handle: suspectAt("")}),
				peer("b", abroad, &fakePeer{quiet: true, handle: accepts("b")}),
			},
			want:     "b got hi",
			attempts: []string{"a suspect", "b accepted"},
		},
		"draining replica: another one of the same peer": {
			setup: []setup{
				peer("a", abroad, &fakePeer{replicas: []string{"a-1", "a-2"}, handle: byReplica(map[string]handler{
					"a-1": refusesAfter("hi", draining), "a-2": accepts("a-2"),
				})}),
				peer("b", abroad, &fakePeer{handle: accepts("b")}),
			},
			want:     "a-2 got hi",
			attempts: []string{"a refused", "a accepted"},
			streams:  []string{"hi", "hi"},
		},
		"draining replica, its link no longer counts": {
			setup: []setup{
				peer("a", abroad, &fakePeer{
					replicas: []string{"a-1", "a-2"}, state: tunnel.PeerState{Usable: true, RTT: 1},
					handle: byReplica(map[string]handler{"a-1": refusesAfter("hi", draining), "a-2": accepts("a-2")}),
				}),
			},
			want:     "a-2 got hi",
			attempts: []string{"a refused", "a accepted"},
			streams:  []string{"hi", "hi"},
		},
		"draining, no other replica: next": {
			setup: []setup{
				peer("a", abroad, &fakePeer{handle: refusesAfter("hi", draining)}),
				peer("b", abroad, &fakePeer{handle: accepts("b")}),
			},
			want:     "b got hi",
			attempts: []string{"a refused", "b accepted"},
		},
		"no lane: next": {
			setup: []setup{
				peer("a", abroad, &fakePeer{replicas: []string{}, state: tunnel.PeerState{Usable: true, RTT: 1}}),
				peer("b", abroad, &fakePeer{handle: accepts("b")}),
			},
			want:     "b got hi",
			attempts: []string{"a unreachable", "b accepted"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, tt.setup...)
			got, err := w.ask("hi")
			switch {
			case tt.want == "" && !isReset(err):
				t.Errorf("got %q, %v; want a reset", got, err)
			case tt.want != "" && (err != nil || got != tt.want):
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if got := w.named(results(w.line())); !slices.Equal(got, tt.attempts) {
				t.Errorf("attempts %q, want %q", got, tt.attempts)
			}
			for i, s := range w.tunnels.streams() {
				if i < len(tt.streams) {
					if got, _ := s.early(); got != tt.streams[i] {
						t.Errorf("stream %d got %q, want %q", i, got, tt.streams[i])
					}
				}
			}
		})
	}
}

// locals sets local endpoints: pairs of a name (LIVE…, DEAD) and a locality.
func locals(pairs ...any) setup {
	return func(w *world, _ *Config) {
		for i := 0; i < len(pairs); i += 2 {
			name := pairs[i].(string)
			at := dead(w.t)
			if strings.HasPrefix(name, "LIVE") {
				at = backend(w.t, answers(name))
			}
			w.names[at.String()] = name
			w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort], endpoint(at, pairs[i+1].(locality)))
		}
	}
}

// terminating makes the endpoints so.
func terminating(w *world, _ *Config) {
	endpoints := w.service.Endpoints[servicePort]
	for i := range endpoints {
		endpoints[i].Ready, endpoints[i].Terminating = false, true
	}
}

// named replaces addresses by their names.
func (w *world) named(results []string) []string {
	for i, r := range results {
		at, rest, _ := strings.Cut(r, " ")
		if name, ok := w.names[at]; ok {
			results[i] = name + " " + rest
		}
	}
	return results
}

func byReplica(m map[string]handler) handler {
	return func(in *fakeIncoming) { m[in.opener.replica](in) }
}

// TestHeaderOnlyLoss: nothing but the header was sent, so another replica of the same peer and then other peers are tried.
func TestHeaderOnlyLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		peer("a", abroad, &fakePeer{replicas: []string{"a-1", "a-2"}, handle: func(in *fakeIncoming) { in.die() }}),
		peer("b", abroad, &fakePeer{handle: greets}),
	)
	c := w.dial()
	mustGreet(t, c)
	if got := w.replicas(); !slices.Equal(got, []string{"a-1", "a-2", "b-1"}) {
		t.Errorf("tried %q", got)
	}
}

// greets speaks first, then echoes.
func greets(in *fakeIncoming) {
	s, err := in.Accept(&tunnelpb.Answer{Code: tunnelpb.Answer_CODE_ACCEPTED})
	if err != nil {
		return
	}
	_, _ = io.WriteString(s, "220 hello")
	_, _ = io.Copy(s, s)
	_ = s.CloseWrite()
}

func mustGreet(t *testing.T, c *net.TCPConn) {
	t.Helper()
	b := make([]byte, len("220 hello"))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "220 hello" {
		t.Fatalf("got %q, %v", b, err)
	}
}

func (w *world) replicas() []string {
	var out []string
	for _, s := range w.tunnels.streams() {
		out = append(out, s.opener.replica)
	}
	return out
}

// TestApplicationGoesAway: its reset cancels what is being tried, with and without bytes out.
func TestApplicationGoesAway(t *testing.T) {
	t.Parallel()
	for _, request := range []string{"", "hi"} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			gone := make(chan struct{})
			w := newWorld(t, peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) {
				<-in.ctx.Done()
				close(gone)
			}}))
			c := w.dial()
			_, _ = io.WriteString(c, request)
			w.eventually("opened", func() bool {
				s := w.tunnels.streams()
				if len(s) == 0 {
					return false
				}
				got, _ := s[0].early()
				return got == request
			})
			reset(c)
			<-gone
			if got := w.line()["ended"]; got != "client reset" {
				t.Errorf("ended %v", got)
			}
		})
	}
}

// TestLongFirstFlight: more than the copy and the stream's window hold; nothing is lost or sent twice, whether it is
// refused or accepted while a write into the stream is blocked.
func TestLongFirstFlight(t *testing.T) {
	t.Parallel()
	request := bytes.Repeat([]byte("0123456789abcdef"), 40<<10)
	const start, limit = dial.ReplayStart, dial.ReplayLimit
	for _, size := range []int{1, start, start + 1, pipeWindow, limit - 1, limit, limit + 1, len(request)} {
		for _, refusals := range []int{0, 1, 2} {
			t.Run(fmt.Sprint(size, " bytes, ", refusals, " refusals"), func(t *testing.T) {
				t.Parallel()
				var setups []setup
				for i := range refusals {
					setups = append(setups, peer(fmt.Sprint("a", i), abroad, &fakePeer{handle: func(in *fakeIncoming) {
						hearsSome(in, min(size, pipeWindow))
						_ = in.Refuse(unavailable, "no", 0)
					}}))
				}
				w := newWorld(t, append(setups, peer("b", abroad, &fakePeer{handle: func(in *fakeIncoming) {
					hearsSome(in, min(size, pipeWindow))
					accepts("b")(in)
				}}))...)
				got, err := w.ask(string(request[:size]))
				if want := "b got " + string(request[:size]); err != nil || got != want {
					t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
				}
				if n := w.line()["bytes_in"]; n != int64(size) {
					t.Errorf("bytes_in %v, want %d", n, size)
				}
			})
		}
	}
}

// TestServerFirstThroughPeer: nothing is waited for before the header goes out, and a half-close goes through.
func TestServerFirstThroughPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peer("a", abroad, &fakePeer{handle: greets}))
	c := w.dial()
	mustGreet(t, c)
	if got, err := ask(t, c, "bye"); err != nil || got != "bye" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestEndpointResetBeforeData: a reset by an endpoint is not mistaken for a refusal.
func TestEndpointResetBeforeData(t *testing.T) {
	t.Parallel()
	w := newWorld(t, endpoints(
		endpoint(backend(t, func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1)) // a reset during connecting would be a refusal
			reset(c)
		}), here),
		endpoint(backend(t, answers("other")), beside)))
	if got, err := w.ask("hi"); !isReset(err) {
		t.Errorf("got %q, %v; want a reset", got, err)
	}
}

func TestStreamCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) {
		if !hears(in, "hi") { // the application has connected
			return
		}
		s, err := in.Accept(&tunnelpb.Answer{})
		if err == nil {
			_, _ = io.WriteString(s, "half an ans")
			s.Reset("lane lost")
		}
	}}))
	c := w.dial()
	if _, err := io.WriteString(c, "hi"); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if !isReset(err) || string(got) != "half an ans" {
		t.Errorf("got %q, %v; want the data, then a reset", got, err)
	}
	if got := w.line()["ended"]; got != "peer reset" {
		t.Errorf("ended %v", got)
	}
}

// TestOverloadedPeerIsLeftAlone for as long as its refusal holds.
func TestOverloadedPeerIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) { _ = in.Refuse(overloaded, "full", time.Minute) }}),
		peer("b", abroad, &fakePeer{handle: accepts("b")}),
	)
	for range 2 {
		if got, err := w.ask("hi"); err != nil || got != "b got hi" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if got := w.replicas(); !slices.Equal(got, []string{"a-1", "b-1", "b-1"}) {
		t.Errorf("tried %q", got)
	}
}

func TestEndpointThatIsTheListener(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world, _ *Config) {
		w.service.Endpoints[servicePort] = append(w.service.Endpoints[servicePort],
			endpoint(netip.AddrPortFrom(w.service.Addresses[0], servicePort), here))
	})
	if all := w.listeners(); !all[0].Vacant {
		t.Errorf("listening: %+v", all)
	}
	w.refuses()
}
