package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/openloop"
)

const (
	// maxBody bounds what an application takes from its caller, in bytes.
	maxBody = 64 << 10
	// requestTimeout is how long the load waits for an answer, and an application for its
	// upstream: longer than a peer that went silent takes to be declared dead.
	requestTimeout = 15 * time.Second
	// headerTimeout bounds a client that connects and sends nothing: a connection
	// that a proxy opened ahead of time may wait this long for its first byte.
	headerTimeout = 30 * time.Second
	// maxHeaderBytes is ample for curl and for the load.
	maxHeaderBytes = 16 << 10
	// shutdownTimeout lets requests under way finish when the application ends.
	shutdownTimeout = 3 * time.Second
	// healthPath answers as long as the application listens, and counts as no execution.
	healthPath = "/healthz"
)

// AppOptions are the flags of `eastway demo app`.
type AppOptions struct {
	// Name is mocka, mockb or mockc; Zone is shown as its version.
	Name, Zone string
	// Listen is IP:PORT; the IP is also the source of the application's own calls.
	Listen string
	// UpstreamURL is called for every request; "" for the end of the chain.
	UpstreamURL string
	// Routes is the file with the addresses to which calls of a service go; "": its host is an address.
	Routes string
	// Executions is the file that gets one line "ID METHOD" per request that was begun; "": none.
	Executions string
	// Status answers every request, after it was executed, as a broken application does; 0: it works.
	Status int
}

// Validate names the field that is wrong.
func (o *AppOptions) Validate() error {
	if o.Name == "" || o.Zone == "" {
		return errors.New("--name and --zone must be given")
	}
	if _, err := netip.ParseAddrPort(o.Listen); err != nil {
		return fmt.Errorf("--listen %q is not IP:PORT: %w", o.Listen, err)
	}
	if o.Status != 0 && (o.Status < 400 || o.Status > 599) {
		return fmt.Errorf("--status %d is not 0 or 400 to 599", o.Status)
	}
	if o.UpstreamURL == "" {
		return nil
	}
	u, err := url.Parse(o.UpstreamURL)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("--upstream-url %q is not http://HOST:PORT", o.UpstreamURL)
	}
	return nil
}

// RunApp serves one application until ctx ends. At SIGUSR1 it closes its listening
// socket and finishes what it has begun. At any other
// signal it listens again.
func RunApp(ctx context.Context, o AppOptions, signals <-chan os.Signal) error {
	if err := o.Validate(); err != nil {
		return err
	}
	a, err := newApp(o)
	if err != nil {
		return err
	}
	defer a.close()
	d := &door{addr: netip.MustParseAddrPort(o.Listen), srv: &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}}
	d.srv.SetKeepAlivesEnabled(false)
	if err := d.open(ctx); err != nil {
		return err
	}
	for {
		select {
		case sig := <-signals:
			act := d.open
			if sig == syscall.SIGUSR1 {
				act = d.shut
			}
			if err := act(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return d.end(ctx)
		}
	}
}

// end finishes what is under way, within bounds.
func (d *door) end(ctx context.Context) error {
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := d.shut(deadline)
	if shutErr := d.srv.Shutdown(deadline); shutErr != nil {
		err = errors.Join(err, d.srv.Close())
	}
	return err
}

// app answers `-> NAME(version: ZONE, ip: IP)` followed by its upstream's answer.
type app struct {
	opts       AppOptions
	ip         string
	executions *os.File // nil: not recorded
	client     *http.Client
}

func newApp(o AppOptions) (*app, error) {
	ip := netip.MustParseAddrPort(o.Listen).Addr()
	var find finder
	if o.Routes != "" {
		find = func(service string) (string, error) { return lookup(o.Routes, service) }
	}
	a := &app{opts: o, ip: ip.String(), client: newClient(&net.TCPAddr{IP: ip.AsSlice()}, find)}
	if o.Executions == "" {
		return a, nil
	}
	f, err := os.OpenFile(o.Executions, os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("open the log of executions: %w", err)
	}
	a.executions = f
	return a, nil
}

func (a *app) close() {
	if a.executions != nil {
		_ = a.executions.Close() // every line was written through
	}
}

// finder is where a call to a service goes now.
type finder func(service string) (string, error)

// newClient uses a fresh connection for each request, from the given source
// address, and never sends a request twice: net/http repeats by itself only
// what it sent on a connection that had been used before. A find that is not
// nil translates the URL's host, once per connection.
func newClient(source net.Addr, find finder) *http.Client {
	dialer := openloop.From(source)
	dial := dialer.DialContext
	if find != nil {
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			service, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			to, err := find(service)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, to)
		}
	}
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			DialContext:        dial,
			DisableKeepAlives:  true,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == healthPath {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		http.Error(w, "only GET and POST", http.StatusMethodNotAllowed)
		return
	}
	id := r.Header.Get(openloop.RequestID)
	if id == "" {
		id = "curl-" + rand.Text()
	}
	if !openloop.ValidID(id) {
		http.Error(w, openloop.RequestID+" must be 1 to 64 of A-Z a-z 0-9 . _ -", http.StatusBadRequest)
		return
	}
	// First of all: what was begun counts, however it ends.
	if err := a.execute(id, r.Method); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if a.opts.Status != 0 {
		http.Error(w, fmt.Sprintf("%s(%s) is broken", a.opts.Name, a.opts.Zone), a.opts.Status)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("%s: read the request: %v", a.opts.Name, err), http.StatusBadRequest)
		return
	}
	rest := "\n"
	if a.opts.UpstreamURL != "" {
		if rest, err = call(r.Context(), a.client, r.Method, a.opts.UpstreamURL, id, string(body)); err != nil {
			http.Error(w, fmt.Sprintf("%s(%s): %v", a.opts.Name, a.opts.Zone, err), http.StatusBadGateway)
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// A caller that is gone does not matter here: it counts its own failure.
	_, _ = fmt.Fprintf(w, //nolint:gosec // plain text of our own applications
		"-> %s(version: %s, ip: %s)%s", a.opts.Name, a.opts.Zone, a.ip, rest)
}

func (a *app) execute(id, method string) error {
	if a.executions == nil {
		return nil
	}
	// One write per line, unbuffered: it survives kill -9.
	if _, err := a.executions.WriteString(id + " " + method + "\n"); err != nil {
		return fmt.Errorf("record the execution: %w", err)
	}
	return nil
}

// call is openloop.Exchange with an error that names the connection's two addresses: the remote one
// is the proxy, the local one is in that proxy's access log.
func call(ctx context.Context, client *http.Client, method, target, id, body string) (string, error) {
	local, remote := "-", "-"
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(_, address string) { remote = address },
		GotConn:      func(info httptrace.GotConnInfo) { local = info.Conn.LocalAddr().String() },
	})
	answer, err := openloop.Exchange(ctx, client, method, target, id, body)
	if err != nil {
		return "", fmt.Errorf("call %s at %s from %s: %w", target, remote, local, err)
	}
	return answer, nil
}
