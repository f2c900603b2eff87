package certs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"

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
	roots   *x509bundle.Bundle
	issue   func() (*x509svid.SVID, error)
	now     func() time.Time
	log     *zap.Logger
	metrics *sourceMetrics

	svid atomic.Pointer[x509svid.SVID]
	// Only the constructor and Run touch these.
	next     time.Time
	failures int
}

// NewCASource issues the first SVID; Run renews it.
func NewCASource(c CASourceConfig) (*CASource, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &CASource{
		roots: c.CA.Bundle(),
		issue: func() (*x509svid.SVID, error) { return c.CA.Issue(c.Name, c.TTL) },
		now:   c.CA.now,
		log:   orNop(c.Log),
	}
	first, err := s.issue()
	if err != nil {
		return nil, err
	}
	if s.metrics, err = newSourceMetrics(c.Registerer); err != nil {
		return nil, err
	}
	s.metrics.caExpiry.Set(unix(c.CA.Certificate().NotAfter))
	s.use(first)
	return s, nil
}

// GetX509SVID is the current SVID.
func (s *CASource) GetX509SVID() (*x509svid.SVID, error) { return s.svid.Load(), nil }

// Bundle is our own trust bundle, for peers to import.
func (s *CASource) Bundle() *x509bundle.Bundle { return s.roots.Clone() }

// Run renews until ctx ends; it returns nil then. When a renewal fails the old SVID stays in use
// and it tries again, faster at first.
func (s *CASource) Run(ctx context.Context) error {
	for {
		wait := min(s.next.Sub(s.wall()), clockCheck)
		if !pace.Sleep(ctx, wait) {
			return nil
		}
		if s.due() {
			s.renew()
		}
	}
}

// wall is the time without Go's monotonic part, which does not follow a clock that is set.
func (s *CASource) wall() time.Time { return s.now().Round(0) }

// due is true also when the clock was set back so far that peers find our SVID not yet valid.
func (s *CASource) due() bool {
	now := s.wall()
	return !now.Before(s.next) || (s.failures == 0 && now.Before(s.svid.Load().Certificates[0].NotBefore))
}

func (s *CASource) renew() {
	svid, err := s.issue()
	if err != nil {
		s.failures++
		wait := spread(pace.Backoff(s.failures, retryMin, retryMax), 1, retryJitter)
		s.next = s.wall().Add(wait)
		s.metrics.renewed(false, 1)
		s.log.Error("certificate renewal failed, the old one stays in use until it expires",
			zap.Error(err), zap.Time("expires", s.svid.Load().Certificates[0].NotAfter),
			zap.Int("failures", s.failures), zap.Duration("retry_in", wait))
		return
	}
	s.failures = 0
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
