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
	"time"

	"github.com/eastway/eastway/certs"
)

// squatters are more connections than the victim has places for, all from 127.0.0.1. One that is ended comes back after comeBack: at their
// rate, an honest stranger among them has to find a turn to compute.
const (
	squatters = 600
	comeBack  = dearer * 500 * time.Millisecond
)

// attackers are programs of strangers, who have nothing but an address. Each calls ready when it is at its full strength, ends with ctx,
// and returns how often it did what it does.
func attackers() map[string]func(ctx context.Context, to string, ready func()) int64 {
	return map[string]func(context.Context, string, func()) int64{
		"silent connections":           squatTCP(func(context.Context, net.Conn) {}),
		"slow ClientHello":             squatTCP(drip),
		"silent after the ClientHello": squatTCP(sayHello),
		"QUIC, no ClientHello":         squatQUIC,
		"flood of ClientHellos":        floodTCP,
		"certificates of strangers":    knock,
		"bystander":                    bystand,
	}
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
func squatTCP(do func(context.Context, net.Conn)) func(context.Context, string, func()) int64 {
	return func(ctx context.Context, to string, ready func()) (made int64) {
		var there, all sync.WaitGroup
		var connections atomic.Int64
		for range squatters {
			there.Add(1)
			first := sync.OnceFunc(there.Done)
			all.Go(func() {
				defer first()
				again(ctx, func() {
					c, err := new(net.Dialer).DialContext(ctx, "tcp", to)
					if err != nil {
						return
					}
					connections.Add(1)
					first()
					defer c.Close()
					defer context.AfterFunc(ctx, func() { _ = c.Close() })()
					do(ctx, c)
					_, _ = io.Copy(io.Discard, c)
				})
			})
		}
		there.Wait()
		ready()
		all.Wait()
		return connections.Load()
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

// sayHello begins a handshake, for which the victim has to compute.
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

// floodTCP begins handshakes as fast as the victim answers.
func floodTCP(ctx context.Context, to string, ready func()) int64 {
	const atOnce = 128
	return atOnceUntil(ctx, atOnce, ready, func() bool {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", to)
		if err != nil {
			return false
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		sayHello(ctx, c)
		n, _ := c.Read(make([]byte, 1))
		return n > 0
	})
}

// knock shows the certificate of a stranger, who claims to be the peer named after the address, until it is refused.
func knock(ctx context.Context, to string, ready func()) int64 {
	const atOnce = 4
	to, id, _ := strings.Cut(to, " ")
	own, err := stranger(id)
	if err != nil {
		panic(err)
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{own}, NextProtos: []string{certs.ALPN}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
	}
	return atOnceUntil(ctx, atOnce, ready, func() bool {
		c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", to)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
		return true
	})
}

// atOnceUntil does something, so often at once, until ctx ends, and counts how often it succeeds.
func atOnceUntil(ctx context.Context, n int, ready func(), do func() (ok bool)) int64 {
	var count atomic.Int64
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if do() {
					count.Add(1)
				}
			}
		})
	}
	ready()
	wg.Wait()
	return count.Load()
}

// squatQUIC begins 400 handshakes in a second, with packets that promise a ClientHello, and proves its address where that is required.
func squatQUIC(ctx context.Context, to string, ready func()) (begun int64) {
	c, err := new(net.Dialer).DialContext(ctx, "udp", to)
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
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
	ready()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for ; ctx.Err() == nil; <-ticker.C {
		for range 4 {
			id := make([]byte, 8)
			_, _ = rand.Read(id)
			_, _ = c.Write(initial(id, nil))
			begun++
		}
	}
	_ = c.Close()
	wg.Wait()
	return begun
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
