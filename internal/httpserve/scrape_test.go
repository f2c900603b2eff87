package httpserve

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/bubble"
)

// gatherer counts how often it is used.
type gatherer struct {
	prometheus.Gatherer

	took  time.Duration
	count atomic.Int64
}

func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	g.count.Add(1)
	<-time.After(g.took)
	return g.Gatherer.Gather()
}

// series is a registry of about so many bytes of metrics.
func series(bytes int) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "wide", Help: "Many."}, []string{"n"})
	for i := range bytes / 1000 {
		v.WithLabelValues(fmt.Sprintf("%0900d", i)).Set(1)
	}
	reg.MustRegister(v)
	return reg
}

// A scrape flood makes as many answers as its budget allows, whatever forms it requests; then all get the last one.
func TestScrapesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gatherer{Gatherer: series(1000), took: 100 * time.Millisecond}
		h := Metrics(g, zap.NewNop())
		scrape := func(accept, encoding string) {
			t.Helper()
			w := &pageWriter{page: page{header: http.Header{}}}
			r := &http.Request{Method: http.MethodGet, Header: http.Header{"Accept": {accept}, "Accept-Encoding": {encoding}}}
			if h.ServeHTTP(w, r); w.page.code != http.StatusOK {
				t.Fatalf("answered %d: %s", w.page.code, w.buf.String())
			}
			var body io.Reader = &w.buf
			if w.page.header.Get("Content-Encoding") == "gzip" {
				var err error
				if body, err = gzip.NewReader(body); err != nil {
					t.Fatal(err)
				}
			}
			if text, err := io.ReadAll(body); err != nil || !strings.Contains(string(text), "# HELP wide Many.") {
				t.Fatalf("answered %q, %v", text, err)
			}
		}
		began := time.Now()
		for i := range 2000 {
			scrape(fmt.Sprintf("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.9%d,text/plain;q=0.5", i), "gzip;q=0,br")
			scrape("text/plain", "gzip")
			scrape("", "")
			scrape("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "")
		}
		// Ten of each of the three forms that were requested, and the tenth part of the time meanwhile.
		passed := time.Since(began)
		if n := g.count.Load(); n > 30+3*int64(passed/time.Second+2) || n < 30 {
			t.Errorf("metrics were gathered %d times in %v", n, passed)
		}
		before := g.count.Load()
		bubble.Pass(scrapeShare * scrapeBurst)
		for range 5 { // fresh metrics for each again
			scrape("text/plain", "")
		}
		if n := g.count.Load() - before; n != 5 {
			t.Errorf("gathered %d times for five scrapes after the flood", n)
		}
	})
}

// slowClient reads nothing until it is released.
type slowClient struct {
	pageWriter

	answers *sync.Map // the first bytes of answers that are being written
	release chan struct{}
}

func (c *slowClient) Write(p []byte) (int, error) {
	c.answers.Store(&p[0], nil)
	<-c.release
	return len(p), nil
}

// Clients that read slowly share the memory of few answers, and take no place that another scraper needs.
func TestSlowScrapersShareMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := Metrics(&gatherer{Gatherer: series(1000), took: 100 * time.Millisecond}, zap.NewNop())
		var answers sync.Map
		release := make(chan struct{})
		for range maxConns {
			go h.ServeHTTP(&slowClient{pageWriter{page: page{header: http.Header{}}}, &answers, release}, &http.Request{Method: http.MethodGet})
			bubble.Pass(time.Millisecond)
		}
		synctest.Wait()
		kept := 0
		answers.Range(func(any, any) bool {
			kept++
			return true
		})
		if kept == 0 || kept > 10 {
			t.Errorf("%d answers are kept for %d slow clients", kept, maxConns)
		}
		w := &pageWriter{page: page{header: http.Header{}}}
		if h.ServeHTTP(w, &http.Request{Method: http.MethodGet}); w.page.code != http.StatusOK {
			t.Errorf("another scraper got %d", w.page.code)
		}
		close(release)
	})
}

// A scraper that leaves does not wait for the answer that another one has caused.
func TestScraperLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := Metrics(&gatherer{Gatherer: series(1000), took: time.Second}, zap.NewNop())
		scrape := func(ctx context.Context) *pageWriter {
			w := &pageWriter{page: page{header: http.Header{}}}
			h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody))
			return w
		}
		first := make(chan int)
		go func() { first <- scrape(t.Context()).page.code }()
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan *pageWriter, maxConns)
		for range maxConns {
			go func() { left <- scrape(ctx) }()
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if len(left) != maxConns {
			t.Errorf("%d of %d scrapers that left still wait", maxConns-len(left), maxConns)
		}
		if code := <-first; code != http.StatusOK {
			t.Errorf("the first got %d", code)
		}
	})
}
