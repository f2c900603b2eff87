package failover

import (
	"io"
	"net/http"
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
