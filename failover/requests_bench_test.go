package failover

import (
	"bufio"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkKeepAlive is 1 KiB for each request on connections that stay, as requests and as bytes.
func BenchmarkKeepAlive(b *testing.B) {
	for name, options := range map[string][]setup{"http": {overHTTP}, "tcp": nil} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, append(options, webs(here, says(strings.Repeat("x", 1<<10))))...)
			var failed atomic.Int32
			b.SetParallelism(16)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				tr := &http.Transport{MaxIdleConnsPerHost: 1}
				defer tr.CloseIdleConnections()
				client := http.Client{Transport: tr}
				for pb.Next() {
					resp, err := client.Get(w.url("/"))
					if err != nil {
						failed.Add(1)
						continue
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
			if n := failed.Load(); n > 0 {
				b.Errorf("%d failed", n)
			}
		})
	}
}

// BenchmarkIdle reports the memory that a connection takes after one request, with the kept connection to the endpoint, and the
// client's end of it.
func BenchmarkIdle(b *testing.B) {
	const conns = 1000
	w := newWorld(b, overHTTP, webs(here, says("x")))
	inUse := func() uint64 {
		runtime.GC()
		runtime.GC() // the first empties pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	open := func() {
		c := w.dial()
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	open()
	for b.Loop() {
		before := inUse()
		for range conns {
			open()
		}
		b.ReportMetric(float64(inUse()-before)/conns, "B/conn")
	}
}
