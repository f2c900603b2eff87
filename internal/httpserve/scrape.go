package httpserve

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"strings"
	"time"
)

const (
	// scrapeShare and scrapeBurst bound the part of one core that making one form of the metrics takes: a tenth, after as much as
	// an operator and two Prometheus use. Beyond that scrapers get what was made last.
	scrapeShare = 10
	scrapeBurst = time.Second
)

// scrapes answers requests for metrics. An answer is made whole before any of it is written, so that a client that reads slowly
// holds memory only, and shared by the requests that came before it was begun.
type scrapes struct {
	fresh http.Handler

	text, openMetrics [2]form // without and with gzip
}

// form is one of the forms in which metrics are answered. They are few, so that no client makes more work by its headers.
type form struct {
	accept, encoding string

	lock   chan struct{} // taken while an answer is made; a channel, so that time passes in a bubble while it is waited for
	budget budget
	last   *page // nil: there is none that was complete
}

// page is a whole answer. It is immutable.
type page struct {
	code   int
	header http.Header
	body   []byte
	begun  time.Time
}

func newScrapes(fresh http.Handler) *scrapes {
	s := &scrapes{fresh: fresh}
	for i, encoding := range []string{"identity", "gzip"} {
		s.text[i] = newForm("text/plain;version=0.0.4", encoding)
		s.openMetrics[i] = newForm("application/openmetrics-text;version=1.0.0", encoding)
	}
	return s
}

func newForm(accept, encoding string) form {
	return form{
		accept: accept, encoding: encoding, lock: make(chan struct{}, 1),
		budget: budget{share: scrapeShare, burst: scrapeBurst},
	}
}

// ServeHTTP implements http.Handler.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := s.form(r).page(r.Context(), s.fresh, time.Now())
	if p == nil {
		return
	}
	maps.Copy(w.Header(), p.header)
	w.WriteHeader(p.code)
	_, _ = w.Write(p.body) // the client may be gone
}

func (s *scrapes) form(r *http.Request) *form {
	of := &s.text
	if strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text") {
		of = &s.openMetrics
	}
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(coding) == "gzip" {
			return &of[1]
		}
	}
	return &of[0]
}

// page is an answer to a request that came at that time: a new one, or the last if that is as new or there is no budget for one; nil if the
// client leaves first.
func (f *form) page(ctx context.Context, fresh http.Handler, came time.Time) *page {
	select {
	case f.lock <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-f.lock }()
	begun := time.Now()
	if f.last != nil && (f.last.begun.After(came) || !f.budget.affords(begun)) {
		return f.last
	}
	w := &pageWriter{page: page{code: http.StatusOK, header: http.Header{}, begun: begun}}
	r := &http.Request{Method: http.MethodGet, Header: http.Header{"Accept": {f.accept}, "Accept-Encoding": {f.encoding}}}
	fresh.ServeHTTP(w, r) // without a client's context: the answer is for all
	w.page.body = w.buf.Bytes()
	f.budget.spend(min(time.Since(begun), scrapeBurst)) // what took longer has mostly waited
	if f.last = &w.page; w.page.code != http.StatusOK {
		f.last = nil
	}
	return &w.page
}

// pageWriter is a http.ResponseWriter.
type pageWriter struct {
	page page
	buf  bytes.Buffer
}

func (w *pageWriter) Header() http.Header         { return w.page.header }
func (w *pageWriter) WriteHeader(code int)        { w.page.code = code }
func (w *pageWriter) Write(p []byte) (int, error) { return w.buf.Write(p) }
