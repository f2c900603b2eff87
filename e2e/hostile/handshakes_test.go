package hostile

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
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
func TestSquattersKeepNobodyOut(t *testing.T) { //nolint:paralleltest // it counts what the process has
	for _, tt := range []struct {
		name   string
		honest func(*tunnel.Config)
		squat  func(ctx context.Context, t *testing.T, v *victim, wg *sync.WaitGroup)
	}{
		{"silent", overTCP, squatTCP(func(context.Context, net.Conn) {})},
		{"slow ClientHello", overTCP, squatTCP(drip)},
		{"silent after the ClientHello", overTCP, squatTCP(sayHello)},
		{"QUIC, no ClientHello", overQUIC, squatQUIC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := startVictim(t)
			visit(t, v, tt.honest) // so that all that lasts is there
			goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			tt.squat(ctx, t, v, &wg)
			for until, n := time.Now().Add(*attackFor), 0; n < 3 || time.Now().Before(until); n++ {
				visit(t, v, tt.honest)
			}
			peak := openDescriptors()
			problems := strings.Join(v.Problems(), "\n")
			cancel()
			wg.Wait()
			if !strings.Contains(problems, "to admit others") {
				t.Errorf("status does not say that connections were ended: %q", problems)
			}
			if n := strings.Count(v.log.String(), "to admit others"); n < 1 || n > 2+int(*attackFor/time.Minute) {
				t.Errorf("%d log lines about it", n)
			}
			t.Logf("%d descriptors before, %d during the attack", descriptors, peak)
			await(t, "the victim has no more than before", func() bool {
				return runtime.NumGoroutine() <= goroutines && openDescriptors() <= descriptors
			})
		})
	}
}

func overTCP(c *tunnel.Config)  { c.DisableQUIC = true }
func overQUIC(c *tunnel.Config) { c.DisableTCP = true }

// visit starts a peer, which has to get a tunnel to the victim, and stops it.
func visit(t *testing.T, v *victim, change func(*tunnel.Config)) {
	t.Helper()
	cfg := tunnel.Config{Cluster: "a", Credentials: v.worlds["a"].Auth, Reason: certs.Reason}
	change(&cfg)
	n, err := tunnel.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	n.SetPeers([]tunnel.Peer{{Name: "b", Addresses: []string{v.Addr().String()}}})
	await(t, "the peer has a tunnel", func() bool { return n.State("b").Usable })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// await looks until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for until := time.Now().Add(20 * time.Second); !is(); <-ticker.C {
		if time.Now().After(until) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// openDescriptors are those of the process; 0 where the system does not list them.
func openDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
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
func squatTCP(do func(context.Context, net.Conn)) func(context.Context, *testing.T, *victim, *sync.WaitGroup) {
	return func(ctx context.Context, _ *testing.T, v *victim, wg *sync.WaitGroup) {
		var there sync.WaitGroup
		for range squatters {
			there.Add(1)
			first := sync.OnceFunc(there.Done)
			wg.Go(func() {
				defer first()
				again(ctx, func() {
					c, err := new(net.Dialer).DialContext(ctx, "tcp", v.Addr().String())
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

// clientHello is how a peer begins.
func clientHello() []byte {
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
}

func sayHello(_ context.Context, c net.Conn) { _, _ = c.Write(clientHello()) }

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
func squatQUIC(ctx context.Context, t *testing.T, v *victim, wg *sync.WaitGroup) {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", v.Addr().String())
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
	await(t, "no place is left", func() bool { return len(v.Problems()) > 0 })
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
