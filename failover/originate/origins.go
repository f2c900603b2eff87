package originate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/tally"
)

// Identity is this cluster's own, for the mode SPIFFE.
type Identity interface {
	x509svid.Source
	// Bundle is nil where there is none.
	Bundle() *x509bundle.Bundle
}

// Config is what Origins need.
type Config struct {
	// Identity may be nil where no service has the mode SPIFFE.
	Identity Identity
	// Failed is called with each handshake that failed; nil: none is counted.
	Failed func(service discovery.ServiceName, reason Reason)
	// Log may be nil, and Now, the clock.
	Log *zap.Logger
	Now func() time.Time
}

// Origins are the services whose endpoints get TLS, with their certificates.
type Origins struct {
	cfg    Config
	failed tally.Book[failure]
	// system are the roots that count where no file is named. They are read once.
	system func() *x509.CertPool

	// reading is held while files are read, so that calls do not wait for them; applied is guarded by it. all and what is in use change
	// with both locks held.
	reading sync.Mutex
	applied hashtrie.Map[discovery.ServiceName, *discovery.Service]
	mu      sync.Mutex
	all     map[discovery.ServiceName]*origin
}

// origin is one of them.
type origin struct {
	tls   *discovery.TLS
	files files
	state
}

// state is what the files hold.
type state struct {
	seen stamps
	// use is what is in use, nil: nothing yet; wrong is what is wrong with the files now.
	use      *material
	sessions tls.ClientSessionCache
	wrong    error
}

// errUnknown is no failure: calls and checks may be ahead of Apply, or behind.
var errUnknown = fmt.Errorf("the ExternalService is not known yet, is gone, or has no spec.tls any more: %w", context.Canceled)

// failure is a kind of failed handshake.
type failure struct {
	service            discovery.ServiceName
	endpoint, expected string
	reason             Reason
}

// New makes Origins; there are none before Apply.
func New(c Config) *Origins {
	if c.Failed == nil {
		c.Failed = func(discovery.ServiceName, Reason) {}
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Origins{
		cfg: c, all: map[discovery.ServiceName]*origin{},
		system: sync.OnceValue(SystemRoots),
	}
}

// Apply takes in the services of a snapshot, and reads the files of new ones.
func (o *Origins) Apply(s *discovery.Snapshot) {
	o.reading.Lock()
	defer o.reading.Unlock()
	for name := range hashtrie.Differing(o.applied, s.Services) {
		var secure *discovery.TLS
		if svc := s.Services.Get(name); svc != nil {
			secure = svc.OutsideTLS()
		}
		switch was := o.all[name]; {
		case secure == nil:
			o.set(name, nil)
		case was == nil || !was.tls.Equal(secure):
			one := &origin{tls: secure, files: filesOf(secure)}
			if was != nil && was.files == one.files {
				one.state = was.state
			} else {
				one.state = o.read(one)
			}
			o.set(name, one)
		}
	}
	o.applied = s.Services
}

func (o *Origins) set(name discovery.ServiceName, one *origin) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if one == nil {
		delete(o.all, name)
		return
	}
	o.all[name] = one
}

// Run looks for files that changed, until ctx ends.
func (o *Origins) Run(ctx context.Context) error {
	tick := time.NewTicker(reread)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			o.reread()
		}
	}
}

func (o *Origins) reread() {
	o.reading.Lock()
	defer o.reading.Unlock()
	for name, one := range o.all {
		if !one.seen.same(one.files.look()) {
			o.set(name, &origin{tls: one.tls, files: one.files, state: o.read(one)})
		}
	}
}

// read reads the files; what is not usable leaves what was in use.
func (o *Origins) read(one *origin) state {
	out := one.state
	out.seen = one.files.look()
	m, err := one.files.read()
	out.wrong = err
	if err != nil {
		o.cfg.Log.Warn("certificate files of an ExternalService are broken", zap.Stringer("service", one.tls.Service),
			zap.Bool("last_good_in_use", one.use != nil), zap.Error(err))
		return out
	}
	if one.use != nil {
		o.cfg.Log.Info("certificate files of an ExternalService read again", zap.Stringer("service", one.tls.Service))
	}
	out.use, out.sessions = m, tls.NewLRUClientSessionCache(maxSessions) // sessions stand for the certificates they began with
	return out
}

// Problems are what an operator has to know, sorted.
func (o *Origins) Problems() []string {
	o.mu.Lock()
	var out []string
	for name, one := range o.all {
		if one.wrong == nil {
			continue
		}
		then := "no connection can be made"
		if one.use != nil {
			then = "what was read before stays in use"
		}
		out = append(out, fmt.Sprintf("ExternalService %s: spec.tls: %v; %s", name, one.wrong, then))
	}
	o.mu.Unlock()
	slices.Sort(out)
	return append(out, o.failed.Problems(o.cfg.Now(), func(f failure) (what, remedy string) {
		what = fmt.Sprintf("ExternalService %s: no TLS with %s, which has to be %s: %s", f.service, f.endpoint, f.expected, f.reason)
		return what, f.reason.remedy()
	})...)
}

// To is an endpoint that takes a connection.
type To struct {
	TLS     *discovery.TLS
	Address netip.AddrPort
	// Host is the endpoint's DNS name; empty: it has none.
	Host string
	// ALPN is the protocol that is going to be spoken; empty: nothing is said of it.
	ALPN string
}

// Client makes TLS on a connection to an endpoint, within the time of ctx. It owns raw; the error is an *Error.
func (o *Origins) Client(ctx context.Context, raw relay.Conn, to To) (relay.Conn, error) {
	server := serverName(to.TLS, to.Host)
	want := &expectation{names: expected(to.TLS, server), spiffe: to.TLS.Mode == v1alpha1.TLSSPIFFE, identity: o.cfg.Identity, now: o.cfg.Now}
	h := &handshake{server: server, alpn: to.ALPN, want: want}
	err := o.prepare(h, to.TLS)
	if err == nil {
		var conn *Conn
		if conn, err = h.run(ctx, raw); err == nil {
			return conn, nil
		}
	}
	if ctx.Err() == nil { // else it is closed; what is on its way there, an alert, is sent
		_ = raw.SetLinger(-1)
	}
	_ = raw.Close()
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	failed := &Error{Reason: h.reason(err), Service: to.TLS.Service, Endpoint: name(to), Expected: want.String(), Err: err}
	o.cfg.Failed(failed.Service, failed.Reason)
	f := failure{failed.Service, failed.Endpoint, failed.Expected, failed.Reason}
	if due := o.failed.Note(o.cfg.Now(), f, 1); due > 0 {
		o.cfg.Log.Warn("no TLS with an endpoint", zap.Stringer("service", f.service), zap.String("endpoint", f.endpoint),
			zap.String("server_name", server), zap.String("expected", f.expected), zap.String("reason", string(f.reason)),
			zap.NamedError("error", err), zap.Uint64("times", due), zap.String("remedy", f.reason.remedy()))
	}
	return nil, failed
}

// name is an endpoint for people.
func name(to To) string {
	if to.Host == "" {
		return to.Address.String()
	}
	return fmt.Sprintf("%s (%s)", to.Address, to.Host)
}

// prepare fills in what the files and the identity have.
func (o *Origins) prepare(h *handshake, t *discovery.TLS) error {
	if h.want.spiffe {
		if o.cfg.Identity == nil {
			return &ownError{errors.New("this proxy has no identity for the mode SPIFFE")}
		}
		h.certificate = o.svid
		return nil
	}
	var now state
	o.mu.Lock()
	one := o.all[t.Service]
	if one != nil {
		now = one.state
	}
	o.mu.Unlock()
	switch {
	case one == nil:
		return errUnknown
	case now.use == nil:
		return &ownError{now.wrong}
	}
	h.want.roots, h.sessions = now.use.roots, now.sessions
	if h.want.roots == nil {
		h.want.roots = o.system()
	}
	if own := now.use.certificate; own != nil {
		h.certificate = func() (*tls.Certificate, error) { return own, nil }
	}
	return nil
}

// svid is our own certificate of the moment.
func (o *Origins) svid() (*tls.Certificate, error) {
	own, err := o.cfg.Identity.GetX509SVID()
	if err != nil {
		return nil, &ownError{fmt.Errorf("this proxy has no certificate: %w", err)}
	}
	c := &tls.Certificate{PrivateKey: own.PrivateKey}
	for _, one := range own.Certificates {
		c.Certificate = append(c.Certificate, one.Raw)
	}
	return c, nil
}
