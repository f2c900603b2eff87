package certs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

const (
	// renewAt is the part of its life at which an SVID is renewed: half is left for retries.
	renewAt = 0.5
	// renewJitter is how much earlier or later, in parts of the life, so that the proxies
	// of a cluster do not renew at once.
	renewJitter = 0.1
	// minRenewWait keeps very short lives (a CA about to expire) from a busy loop.
	minRenewWait = 250 * time.Millisecond
	// retryMin and retryMax bound the wait after a failed renewal; it doubles each time.
	retryMin = time.Second
	retryMax = 5 * time.Minute
	// retryJitter spreads retries, in parts of the wait.
	retryJitter = 0.2
	// clockCheck is how often the wall clock is looked at: timers run on a clock that stands still
	// while the machine sleeps and knows nothing of a clock that is set.
	clockCheck = time.Minute
)

// CASourceConfig of a CASource.
type CASourceConfig struct {
	// CA issues the certificates. Required.
	CA *CA
	// Dir is where OpenCA found the CA, for Run to follow: an intermediate that is renewed there is used at once. Empty: it is not followed.
	Dir string
	// Name is the cluster's. Required.
	Name string
	// TTL of each SVID; 0 is DefaultTTL.
	TTL time.Duration
	// Log takes one line for each renewal; nil means none.
	Log *zap.Logger
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
}

// Validate names the first field that is not usable.
func (c CASourceConfig) Validate() error {
	if c.CA == nil {
		return errors.New("certs: CASourceConfig.CA is required")
	}
	if err := checkName(c.Name); err != nil {
		return fmt.Errorf("certs: CASourceConfig.Name: %w", err)
	}
	if c.TTL != 0 && (c.TTL < MinTTL || c.TTL > MaxTTL) {
		return fmt.Errorf("certs: CASourceConfig.TTL %s is not between %s and %s", c.TTL, MinTTL, MaxTTL)
	}
	return nil
}

// CASource is our own identity, issued by a CA in this process and renewed at half of its life.
// Its key is in memory only. It implements x509svid.Source.
type CASource struct {
	id      spiffeid.ID
	dir     string
	issue   func(*CA) (*x509svid.SVID, error)
	now     func() time.Time
	log     *zap.Logger
	metrics *sourceMetrics
	again   notify.Signal // read the directory
	look    notify.Signal // it may have changed
	changed notify.Broadcast

	ca       atomic.Pointer[CA]
	svid     atomic.Pointer[x509svid.SVID] // nil: none could be issued yet
	unissued problem
	unread   problem
	// Only the constructor and Run touch these.
	next     time.Time
	failures int
}

// NewCASource issues the first SVID; Run renews it. With a CA that has expired, or is not valid yet, there is none until Run finds a
// renewed one: a proxy starts, and serves what needs no peer.
func NewCASource(c CASourceConfig) (*CASource, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	id, err := ClusterID(c.CA.td, c.Name)
	if err != nil {
		return nil, fmt.Errorf("certs: CASourceConfig.Name: %w", err)
	}
	s := &CASource{
		id: id, dir: c.Dir,
		issue: func(ca *CA) (*x509svid.SVID, error) { return ca.Issue(c.Name, c.TTL) },
		now:   c.CA.now,
		log:   orNop(c.Log),
		again: notify.NewSignal(), look: notify.NewSignal(),
	}
	first, err := s.issue(c.CA)
	if reason := Reason(err); err != nil && reason != ReasonExpired && reason != ReasonNotYetValid {
		return nil, err
	}
	if s.metrics, err = newSourceMetrics(c.Registerer); err != nil {
		return nil, err
	}
	s.useCA(c.CA)
	if first == nil {
		s.renew() // logs why, and counts it
		return s, nil
	}
	s.use(first)
	return s, nil
}

// ID is the own SPIFFE ID.
func (s *CASource) ID() spiffeid.ID { return s.id }

// GetX509SVID is the current SVID.
func (s *CASource) GetX509SVID() (*x509svid.SVID, error) {
	if svid := s.svid.Load(); svid != nil {
		return svid, nil
	}
	return nil, fmt.Errorf("certs: no certificate could be issued: %s", s.unissued.get())
}

// Bundle is our own trust bundle, for peers to import.
func (s *CASource) Bundle() *x509bundle.Bundle { return s.ca.Load().Bundle() }

// Changed returns a channel that is closed when another CA, and with it perhaps another bundle, is in use.
func (s *CASource) Changed() <-chan struct{} { return s.changed.Changed() }

// Reload has Run read the CA's directory now.
func (s *CASource) Reload() { s.again.Notify() }

// Problems are what is wrong with the CA and its directory now, for the operator.
func (s *CASource) Problems() []string {
	var out []string
	if text := s.unissued.get(); text != "" {
		out = append(out, "the certificate of this cluster cannot be renewed: "+text)
	}
	if text := s.unread.get(); text != "" {
		out = append(out, fmt.Sprintf("the CA in %s is not used as it is, but as it was: %s", s.dir, text))
	}
	return out
}

// Run renews until ctx ends; it returns nil then. When a renewal fails the old SVID stays in use
// and it tries again, faster at first. It follows the CA's directory.
func (s *CASource) Run(ctx context.Context) error {
	var following sync.WaitGroup
	defer following.Wait()
	if s.dir != "" {
		following.Go(func() { followDir(ctx, s.dir, s.again, s.log, s.look.Notify) })
	}
	for {
		wait := time.NewTimer(min(s.next.Sub(s.wall()), clockCheck))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-s.look:
			wait.Stop()
			s.reread()
		case <-wait.C:
			if s.due() {
				s.renew()
			}
		}
	}
}

// errCAGone is what errNoCA means in a process that has a CA.
var errCAGone = errors.New(caCertFile + " is gone: restore the directory from a backup before this process ends; " +
	"a new CA has a new key, which no peer trusts")

// reread takes the CA in the directory if it is another one that is good.
func (s *CASource) reread() {
	old := s.ca.Load()
	ca, err := loadCA(s.dir, Options{TrustDomain: old.td, Now: s.now})
	if errors.Is(err, errNoCA) {
		err = errCAGone
	}
	if err == nil && ca.equal(old) {
		s.unread.set("") // it may have been unreadable, and is there again
		return
	}
	var svid *x509svid.SVID
	if err == nil {
		svid, err = s.issue(ca)
	}
	if err != nil {
		if s.unread.set(err.Error()) {
			s.metrics.renewed(false, 1)
			s.log.Error("the CA's files cannot be used, the last good ones stay in use", zap.String("dir", s.dir), zap.Error(err))
		}
		return
	}
	s.log.Info("CA read", zap.String("dir", s.dir), zap.Stringer("subject", ca.Certificate().Subject), zap.Time("expires", ca.Certificate().NotAfter))
	s.useCA(ca)
	s.renewed(svid)
}

func (s *CASource) useCA(ca *CA) {
	s.ca.Store(ca)
	s.unread.set("")
	s.metrics.caExpiry.Set(unix(ca.Certificate().NotAfter))
	s.changed.Notify()
}

// wall is the time without Go's monotonic part, which does not follow a clock that is set.
func (s *CASource) wall() time.Time { return s.now().Round(0) }

// due is true also when the clock was set back so far that peers find our SVID not yet valid.
func (s *CASource) due() bool {
	now, svid := s.wall(), s.svid.Load()
	return !now.Before(s.next) || s.failures == 0 && svid != nil && now.Before(svid.Certificates[0].NotBefore)
}

func (s *CASource) renew() {
	svid, err := s.issue(s.ca.Load())
	if err == nil {
		s.renewed(svid)
		return
	}
	s.failures++
	wait := spread(pace.Backoff(s.failures, retryMin, retryMax), 1, retryJitter)
	s.next = s.wall().Add(wait)
	s.metrics.renewed(false, 1)
	s.unissued.set(err.Error())
	fields := []zap.Field{zap.Error(err), zap.Int("failures", s.failures), zap.Duration("retry_in", wait)}
	if old := s.svid.Load(); old != nil {
		s.log.Error("certificate renewal failed, the old one stays in use until it expires",
			append(fields, zap.Time("expires", old.Certificates[0].NotAfter))...)
		return
	}
	s.log.Error("there is no certificate: no peer can be reached, services of the own cluster are served", fields...)
}

func (s *CASource) renewed(svid *x509svid.SVID) {
	s.failures = 0
	s.unissued.set("")
	s.metrics.renewed(true, 1)
	s.use(svid)
	s.log.Info("certificate renewed", zap.String("spiffe_id", svid.ID.String()),
		zap.Time("expires", svid.Certificates[0].NotAfter), zap.Time("next_renewal", s.next))
}

func (s *CASource) use(svid *x509svid.SVID) {
	expires := svid.Certificates[0].NotAfter
	now := s.wall()
	s.next = now.Add(max(minRenewWait, spread(expires.Sub(now), renewAt, renewJitter)))
	s.metrics.svidExpiry.Set(unix(expires))
	s.svid.Store(svid)
}

// spread is d times part, give or take d times jitter.
func spread(d time.Duration, part, jitter float64) time.Duration {
	return pace.Spread(d, part-jitter, part+jitter, rand.Float64())
}

func orNop(l *zap.Logger) *zap.Logger {
	if l == nil {
		return zap.NewNop()
	}
	return l
}
