package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/journal"
)

// Port at which a load is controlled, over HTTP:
//
//	POST /load    begins the load of the body, a Config; 409 while there is one
//	DELETE /load  ends it, and answers when each request has ended
//	GET /records  the records of the newest load, live to its end
const Port = 8002

const (
	headerTimeout = 10 * time.Second
	maxConfig     = 64 << 10 // bytes; some hundred URLs
)

// Server makes load for those who ask it to. The zero value is ready to use.
type Server struct {
	// Hosts has the addresses of targets (see chain.Dialer).
	Hosts string

	mu      sync.Mutex
	records *journal.Journal[Record] // of the newest load; nil: there was none
	stop    context.CancelFunc       // nil: there is no load
	ended   chan struct{}            // closed when the newest load has ended
}

// Run serves at an address (the zero Addr: all addresses) until ctx ends, and
// ends the load then.
func (s *Server) Run(ctx context.Context, at netip.Addr) error {
	host := ""
	if at.IsValid() {
		host = at.String()
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(Port)))
	if err != nil {
		return fmt.Errorf("load: listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /load", func(w http.ResponseWriter, r *http.Request) { s.begin(ctx, w, r) })
	mux.HandleFunc("DELETE /load", s.end)
	mux.HandleFunc("GET /records", s.read)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		s.quit()
		return fmt.Errorf("load: serve: %w", err)
	case <-ctx.Done():
	}
	s.quit() // readers end with the load
	err = server.Shutdown(context.WithoutCancel(ctx))
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("load: serve: %w", err)
	}
	return err
}

func (s *Server) begin(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var c Config
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxConfig))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&c)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil || ctx.Err() != nil {
		http.Error(w, "there is a load already, or this is ending", http.StatusConflict)
		return
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.records, s.ended = &journal.Journal[Record]{}, make(chan struct{})
	records, ended := s.records, s.ended
	go func() {
		defer close(ended)
		defer records.Close()
		_ = Run(ctx, c, s.Hosts, records) // it is valid
	}()
}

func (s *Server) end(http.ResponseWriter, *http.Request) { s.quit() }

// quit ends the load and returns when it has ended.
func (s *Server) quit() {
	s.mu.Lock()
	stop, ended := s.stop, s.ended
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	if ended != nil {
		<-ended
	}
}

func (s *Server) read(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	records := s.records
	s.mu.Unlock()
	if records == nil {
		http.Error(w, "there was no load yet", http.StatusNotFound)
		return
	}
	records.ServeHTTP(w, r)
}
