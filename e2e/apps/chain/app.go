package chain

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/internal/journal"
	"github.com/eastway/eastway/internal/openloop"
)

// Config of an application.
type Config struct {
	// Name and Zone as answers show them; the zone as the version.
	Name, Zone string
	// UpstreamURLs are called for each request, one after the other; none at the end of the chain.
	UpstreamURLs []string
	// Text is a part of the answer, on lines of its own.
	Text string
	// Status, if not 0, answers each request, as a broken application does.
	Status int
	// Hosts has the addresses of upstreams (see Dialer).
	Hosts string
	// Record is a file that gets a line with the ID of each request that was begun, before anything else: what it has survives
	// kill -9. Empty: none.
	Record string
	// Lame is how long it goes on accepting when it is to end, as any application behind a load balancer must: until no more
	// connections come. 0: long enough for Kubernetes.
	Lame time.Duration
	// Certificates and their keys, in PEM, by the port that presents them.
	Certificates map[int][2]string
}

// FromEnvironment reads the variables app, version, upstream_url (more than one: separated by spaces), text, hosts, and record; certificate
// and key, expired_certificate and expired_key.
func FromEnvironment(get func(string) string) Config {
	c := Config{
		Name: get("app"), Zone: get("version"), UpstreamURLs: strings.Fields(get("upstream_url")), Text: get("text"),
		Hosts: get("hosts"), Record: get("record"), Certificates: make(map[int][2]string),
	}
	for port, prefix := range map[int]string{TLSPort: "", ExpiredPort: "expired_"} {
		if pair := [2]string{get(prefix + "certificate"), get(prefix + "key")}; pair[0] != "" {
			c.Certificates[port] = pair
		}
	}
	return c
}

// Validate names the variable that is wrong.
func (c Config) Validate() error {
	if c.Name == "" || c.Zone == "" {
		return errors.New("chain: the variables app and version must be set")
	}
	for _, upstream := range c.UpstreamURLs {
		if u, err := url.Parse(upstream); err != nil || u.Scheme != "http" || u.Host == "" {
			return fmt.Errorf("chain: the variable upstream_url is %q, must be http://HOST:PORT/", upstream)
		}
	}
	return nil
}

// Execution is one request that an application began to execute.
type Execution struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Caller is the other end of the connection on which it came, IP:PORT.
	Caller string `json:"caller"`
}

// App answers requests of the chain.
type App struct {
	Config
	// Executions has an entry for each request that was begun, however it ended.
	Executions journal.Journal[Execution]

	client Client
	record *os.File
	// leaving: it got SIGTERM, so each answer ends its connection, and no later request meets one that is being closed.
	leaving atomic.Bool
}

func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	id := r.Header.Get(openloop.RequestID)
	if id == "" {
		id = "none-" + rand.Text()
	}
	if !openloop.ValidID(id) {
		http.Error(w, openloop.RequestID+" must be 1 to 64 of A-Z a-z 0-9 . _ -", http.StatusBadRequest)
		return
	}
	if a.record != nil {
		if _, err := a.record.WriteString(id + "\n"); err != nil { // one write, unbuffered
			http.Error(w, fmt.Sprintf("%s(%s): record the execution: %v", a.Name, a.Zone, err), http.StatusInternalServerError)
			return
		}
	}
	a.Executions.Add(Execution{ID: id, At: time.Now(), Caller: r.RemoteAddr})
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		http.Error(w, fmt.Sprintf("%s(%s): read the request: %v", a.Name, a.Zone, err), http.StatusBadRequest)
		return
	}
	if a.Status != 0 {
		http.Error(w, fmt.Sprintf("%s(%s): broken", a.Name, a.Zone), a.Status)
		return
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	var answer strings.Builder
	answer.WriteString(a.hop(local).String())
	if a.Text != "" {
		answer.WriteString("\n" + a.Text + "\n")
	}
	for _, upstream := range a.UpstreamURLs {
		rest, err := a.client.Do(r.Context(), r.Method, upstream, id)
		if err != nil {
			http.Error(w, fmt.Sprintf("%s(%s): %v", a.Name, a.Zone, err), http.StatusBadGateway)
			return
		}
		answer.WriteString(strings.TrimSuffix(rest, "\n"))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// A caller that is gone does not matter here: it counts its own failure.
	_, _ = io.WriteString(w, answer.String()+"\n")
}

// hop is the own part of an answer, on a connection to the address.
func (a *App) hop(local net.Addr) Hop {
	h := Hop{Name: a.Name, Zone: a.Zone}
	if tcp, ok := local.(*net.TCPAddr); ok {
		h.IP = tcp.IP.String()
	}
	return h
}
