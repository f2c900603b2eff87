package tunnel

import (
	"io"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// benchPair is a pair over loopback TCP whose b serves streams.
func benchPair(b *testing.B, serve func(*Stream)) *Node {
	b.Helper()
	trust := certstest.New(b, "a", "b")
	start := func(cluster, listen string) *Node {
		n, err := New(b.Context(), Config{
			Cluster: cluster, Listen: listen, Credentials: trust[cluster].Auth, Reason: certs.Reason, DisableQUIC: true, Log: zap.NewNop(),
			Handle: func(in *Incoming) {
				if s, err := in.Accept(&tunnelpb.Answer{}); err == nil {
					serve(s)
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = n.Run(b.Context())
		}()
		b.Cleanup(func() { <-done })
		return n
	}
	there, here := start("b", "127.0.0.1:0"), start("a", "")
	there.SetPeers([]Peer{{Name: "a"}})
	here.SetPeers([]Peer{{Name: "b", Addresses: []string{there.Addr().String()}}})
	for !here.hasUsable("b") {
		b.Output()
	}
	return here
}

func benchStream(b *testing.B, n *Node) *Stream {
	b.Helper()
	s, err := n.Open(b.Context(), "b", header(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Reset("over") })
	return s
}

// BenchmarkBulk is one stream in one direction, in the relay's pieces.
func BenchmarkBulk(b *testing.B) {
	const piece = 64<<10 - 16
	n := benchPair(b, func(s *Stream) {
		buf := make([]byte, piece)
		for {
			if _, err := s.Read(buf); err == io.EOF { //nolint:errorlint // a clean end
				_ = s.CloseWrite()
				return
			} else if err != nil {
				return
			}
		}
	})
	s := benchStream(b, n)
	buf := make([]byte, piece)
	b.SetBytes(piece)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := s.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.CloseWrite()
	if _, err := io.ReadAll(s); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkKeepAlive is 1 KB there and back, on 32 streams.
func BenchmarkKeepAlive(b *testing.B) {
	const streams, size = 32, 1 << 10
	n := benchPair(b, func(s *Stream) { _, _ = io.CopyBuffer(s, s, make([]byte, 4<<10)) })
	var all []*Stream
	for range streams {
		all = append(all, benchStream(b, n))
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() {
			buf := make([]byte, size)
			for range b.N/streams + 1 {
				if _, err := s.Write(buf); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(s, buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
