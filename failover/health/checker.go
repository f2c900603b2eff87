package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/hashtrie"
)

// Catalog has the endpoints, and takes what their checks find.
type Catalog interface {
	// Snapshot is the newest state, Changed is closed by the change after the call.
	Snapshot() *discovery.Snapshot
	Changed() <-chan struct{}
	// SetUnhealthy changes why endpoints are not healthy; an empty reason: they are.
	SetUnhealthy(reasons map[discovery.EndpointRef]string)
}

// Config is what a Checker needs; Metrics may be nil.
type Config struct {
	Catalog Catalog
	Dial    Dial
	// Inconclusive is what an error of Dial wraps when it means nothing for the endpoint.
	Inconclusive error
	// Passed is called for each check that passes, of an endpoint that is healthy; answered: it was more than a connect.
	Passed  func(endpoint discovery.EndpointRef, answered bool)
	Log     *zap.Logger
	Metrics prometheus.Registerer
}

// Checker checks what the policies in the catalog request.
type Checker struct {
	cfg      Config
	client   *client
	metrics  *metrics
	schedule *schedule
	// applied is what the schedule is in line with.
	applied hashtrie.Map[discovery.ServiceName, *discovery.Service]
	// found is what the catalog does not have yet, from flush on it gets it.
	found map[discovery.EndpointRef]string
	flush <-chan time.Time
	lines *rate.Limiter
	// unlogged is how many changes have no line in the log.
	unlogged int
}

// New makes a Checker; it does nothing before Run.
func New(cfg Config) (*Checker, error) {
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Checker{
		cfg: cfg, client: newClient(cfg.Dial), metrics: m,
		schedule: newSchedule(rand.Float64), // chance spreads load
		found:    make(map[discovery.EndpointRef]string),
		lines:    rate.NewLimiter(rate.Every(logInterval), logBurst),
	}, nil
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) error {
	var checks errgroup.Group // the schedule bounds it
	defer func() { _ = checks.Wait() }()
	results := make(chan result)
	for {
		changed := c.cfg.Catalog.Changed()
		c.follow(c.cfg.Catalog.Snapshot())
		for {
			one, ok := c.schedule.begin(time.Now())
			if !ok {
				break
			}
			checks.Go(func() error {
				r := c.check(ctx, one)
				select {
				case results <- r:
				case <-ctx.Done():
				}
				return nil
			})
		}
		var due <-chan time.Time
		if at, ok := c.schedule.next(); ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-due:
		case r := <-results:
			c.take(r)
		case <-c.flush:
			c.cfg.Catalog.SetUnhealthy(c.found)
			c.found, c.flush = make(map[discovery.EndpointRef]string), nil
		}
	}
}

// follow brings the schedule in line with the catalog.
func (c *Checker) follow(s *discovery.Snapshot) {
	now := time.Now()
	for name := range hashtrie.Differing(c.applied, s.Services) {
		known := c.schedule.services[name] != nil
		for _, t := range c.schedule.follow(name, plansOf(s.Services.Get(name)), now) {
			if t.state.failing {
				c.metrics.failing.WithLabelValues(name.String()).Dec()
				c.report(t.ref, "")
			}
		}
		if known && c.schedule.services[name] == nil {
			c.metrics.forget(name)
		}
	}
	c.applied = s.Services
}

func (c *Checker) check(ctx context.Context, one check) result {
	r := result{check: one}
	if err := c.client.check(ctx, one.plan, one.target.ref.Address); err != nil {
		r.reason = clip.Text(err.Error(), maxReason) // a part of it may be the endpoint's
		r.inconclusive = errors.Is(err, c.cfg.Inconclusive) || ctx.Err() != nil
	}
	return r
}

// take is what follows from a result.
func (c *Checker) take(r result) {
	t, was, now := r.target, r.target.state.failing, time.Now()
	changed := c.schedule.end(r, now)
	if t.gone {
		return
	}
	c.metrics.count(t.ref.Service, r, now)
	if changed {
		c.report(t.ref, t.reason)
	}
	switch is := t.state.failing; {
	case is && !was:
		c.metrics.failing.WithLabelValues(t.ref.Service.String()).Inc()
		c.log(c.cfg.Log.Warn, "endpoint fails its health check", t, zap.String("reason", t.reason))
	case was && !is:
		c.metrics.failing.WithLabelValues(t.ref.Service.String()).Dec()
		c.log(c.cfg.Log.Info, "endpoint passes its health check again", t)
	}
	if !t.state.failing && r.reason == "" {
		c.cfg.Passed(t.ref, r.plan.answers())
	}
}

// report collects what the catalog gets.
func (c *Checker) report(endpoint discovery.EndpointRef, reason string) {
	c.found[endpoint] = reason
	if c.flush == nil {
		c.flush = time.After(gather)
	}
}

// log writes a line about an endpoint unless there are too many.
func (c *Checker) log(write func(string, ...zap.Field), message string, t *target, more ...zap.Field) {
	if !c.lines.Allow() {
		c.unlogged++
		return
	}
	fields := append([]zap.Field{
		zap.Stringer("service", t.ref.Service), zap.Uint16("port", t.ref.Port), zap.Stringer("endpoint", t.ref.Address),
	}, more...)
	if c.unlogged > 0 {
		fields = append(fields, zap.Int("unlogged", c.unlogged)) // changes before, without a line
		c.unlogged = 0
	}
	write(message, fields...)
}
