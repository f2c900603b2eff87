package hostile

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/tunnel"
)

// squatters are more connections than the victim has places for, all from 127.0.0.1. One that is ended comes back after comeBack.
const (
	squatters = 600
	comeBack  = 500 * time.Millisecond
)

// Connections that prove nothing keep no peer behind the same address out, and take nothing that stays.
func TestSquattersKeepNobodyOut(t *testing.T) { //nolint:paralleltest // it measures the process
	for _, tt := range []struct {
		name   string
		honest func(*tunnel.Config)
		squat  func(ctx context.Context, t *testing.T, w *world, wg *sync.WaitGroup)
	}{
		{"silent connections", overTCP, squatTCP(func(context.Context, net.Conn) {})},
		{"slow ClientHello", overTCP, squatTCP(drip)},
		{"silent after the ClientHello", overTCP, squatTCP(sayHello())},
		{"QUIC, no ClientHello", overQUIC, squatQUIC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := startWorld(t, &config{})
			w.visit(t, tt.honest) // so that all that lasts is there
			w.suffer(t, &attack{
				name: tt.name, budget: 128 * MiB,
				begin: func(ctx context.Context, t *testing.T) func() {
					t.Helper()
					var wg sync.WaitGroup
					tt.squat(ctx, t, w, &wg)
					return wg.Wait
				},
				meanwhile: func(t *testing.T) {
					t.Helper()
					w.visit(t, tt.honest)
				},
			})
			if problems := strings.Join(w.victim.problems(), "\n"); !strings.Contains(problems, "to admit others") {
				t.Errorf("status does not say that connections were ended: %q", problems)
			}
			if n := strings.Count(w.victim.log.String(), "to admit others"); n < 1 || n > 2+int(*attackFor/time.Minute) {
				t.Errorf("%d log lines about it", n)
			}
		})
	}
}

func overTCP(c *tunnel.Config)  { c.DisableQUIC = true }
func overQUIC(c *tunnel.Config) { c.DisableTCP = true }

// visit starts a proxy of the guest, which has to get a tunnel to the victim, and stops it.
func (w *world) visit(t *testing.T, change func(*tunnel.Config)) {
	t.Helper()
	var cfg tunnel.Config
	change(&cfg)
	n, stop := w.join(t, guest, cfg)
	await(t, "the peer has a tunnel", func() bool { return n.State(victim).Usable })
	stop()
	pass(min(comeBack, *attackFor/10)) // its handshakes cost as much as others'
}

// again calls do until ctx ends, with pauses.
func again(ctx context.Context, do func()) {
	ticker := time.NewTicker(comeBack)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// squatTCP connects to the victim and does something on each connection until the victim ends it.
func squatTCP(do func(context.Context, net.Conn)) func(context.Context, *testing.T, *world, *sync.WaitGroup) {
	return func(ctx context.Context, _ *testing.T, w *world, wg *sync.WaitGroup) {
		var there sync.WaitGroup
		for range squatters {
			there.Add(1)
			first := sync.OnceFunc(there.Done)
			wg.Go(func() {
				defer first()
				again(ctx, func() {
					c, err := new(net.Dialer).DialContext(ctx, "tcp", w.victim.node.Addr().String())
					if err != nil {
						return
					}
					first()
					defer c.Close()
					defer context.AfterFunc(ctx, func() { _ = c.Close() })()
					do(ctx, c)
					_, _ = io.Copy(io.Discard, c)
				})
			})
		}
		there.Wait()
	}
}

// clientHello is how a peer begins. An attacker computes it once.
var clientHello = sync.OnceValue(func() []byte {
	here, there := net.Pipe()
	defer there.Close()
	go func() {
		defer here.Close()
		cfg := &tls.Config{NextProtos: []string{certs.ALPN}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}
		_ = tls.Client(here, cfg).Handshake()
	}()
	hello := make([]byte, 16<<10)
	n, _ := there.Read(hello)
	return hello[:n]
})

// A stranger that begins handshakes as fast as the victim answers has half of the cores at most: peers come in, and calls are answered.
func TestFloodOfHandshakes(t *testing.T) { //nolint:paralleltest // it measures the process
	w := startWorld(t, &config{})
	w.visit(t, overTCP)
	var begun func() int64
	w.suffer(t, &attack{
		name: "flood of ClientHellos", budget: 64 * MiB, share: 0.75, // half, and what accepting takes
		begin: func(ctx context.Context, t *testing.T) func() {
			t.Helper()
			var wg sync.WaitGroup
			begun = flood(ctx, t, w, &wg)
			return wg.Wait
		},
		meanwhile: func(t *testing.T) {
			t.Helper()
			w.visit(t, overTCP)
		},
	})
	t.Logf("%d handshakes were begun", begun())
}

// flood begins handshakes as fast as the victim computes its answers.
func flood(ctx context.Context, t *testing.T, w *world, wg *sync.WaitGroup) (handshakes func() int64) {
	t.Helper()
	var begun atomic.Int64
	for range 128 {
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := new(net.Dialer).DialContext(ctx, "tcp", w.victim.node.Addr().String())
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				if _, err := c.Write(clientHello()); err == nil {
					_, _ = c.Read(make([]byte, 1))
					begun.Add(1)
				}
				stop()
				_ = c.Close()
			}
		})
	}
	return begun.Load
}

// sayHello returns what begins a handshake, one after another: the attack is on the places, and would have all of this machine's time.
func sayHello() func(context.Context, net.Conn) {
	var turn sync.Mutex
	return func(_ context.Context, c net.Conn) {
		turn.Lock()
		defer turn.Unlock()
		if _, err := c.Write(clientHello()); err == nil {
			_, _ = c.Read(make([]byte, 1)) // of the answer, for which the victim has to compute
		}
	}
}

// drip sends a ClientHello so slowly that it never ends, and never stops.
func drip(ctx context.Context, c net.Conn) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for _, b := range clientHello() {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// squatQUIC begins 400 handshakes in a second, with packets that promise a ClientHello, and proves its address where that is required.
func squatQUIC(ctx context.Context, t *testing.T, w *world, wg *sync.WaitGroup) {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", w.victim.node.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialUDP("udp", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		for b := make([]byte, 2048); ; {
			n, err := c.Read(b)
			if err != nil && ctx.Err() != nil {
				return
			}
			if id, token, ok := parseRetry(b[:n]); ok {
				_, _ = c.Write(initial(id, token))
			}
		}
	})
	wg.Go(func() {
		defer c.Close()
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for ; ctx.Err() == nil; <-ticker.C {
			for range 4 {
				id := make([]byte, 8)
				_, _ = rand.Read(id)
				_, _ = c.Write(initial(id, nil))
			}
		}
	})
	await(t, "no place is left", func() bool { return len(w.victim.node.Problems()) > 0 })
}

// initial is an Initial packet of QUIC (RFC 9000, 17.2.2) that cannot be decrypted.
func initial(id, token []byte) []byte {
	p := append([]byte{0xc3, 0, 0, 0, 1, byte(len(id))}, id...)
	p = append(p, 0) // no source connection ID
	p = binary.BigEndian.AppendUint16(p, 1<<14|uint16(len(token)))
	p = append(p, token...)
	p = binary.BigEndian.AppendUint16(p, 1<<14|uint16(1200-len(p)-2))
	return append(p, make([]byte, 1200-len(p))...)
}

// parseRetry reads what a Retry packet (17.2.5) requests: the connection ID and the token to come back with.
func parseRetry(p []byte) (id, token []byte, ok bool) {
	if len(p) < 7 || p[0]&0xf0 != 0xf0 || p[5] != 0 || len(p) < 7+int(p[6])+16 {
		return nil, nil, false
	}
	at := 7 + int(p[6])
	return p[7:at], p[at : len(p)-16], true
}
