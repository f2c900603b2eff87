package entry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/entry/serve"
	"github.com/eastway/eastway/internal/entry/status"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/signals"
	"github.com/eastway/eastway/internal/version"
)

// rereadInterval is the time between readings of the manifests: a change that is used after two seconds is soon enough.
const rereadInterval = 2 * time.Second

// daemon is everything that one `eastway entry` runs.
type daemon struct {
	o      *options
	log    *zap.Logger
	source source
	server *serve.Server
	access *access.File
	http   []*httpserve.Server
	reread notify.Signal
	report atomic.Pointer[Report]
	known  atomic.Bool // what to serve

	// Of the last reading.
	last   *route.Manifests
	kept   route.Kept
	errs   []string
	table  *route.Table
	status *route.Status
	failed string // of the ports
	// seen and unserved are those that the writer of statuses knows.
	seen     []status.Object
	unserved map[status.Listener]string
}

// run serves until ctx ends.
func run(ctx context.Context, o *options, stdout, stderr io.Writer) (err error) {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return command.Usagef("--log-level: %w", err)
	}
	trusted, err := o.trustedPrefixes()
	if err != nil {
		return command.Usagef("%w", err)
	}
	caught := signals.Catch()
	defer caught.Stop()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	log := eventlog.New(stderr, level)
	from, err := o.newSource(log, reg)
	if err != nil {
		return err
	}
	d := &daemon{o: o, log: log, source: from, reread: notify.NewSignal(), table: &route.Table{}}
	d.report.Store(&Report{})
	d.access, err = access.Open(access.FileConfig{Name: o.accessLog, Stdout: stdout, Rate: o.accessLogRate, Log: d.log, Registerer: reg})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.access.Close()) }()
	d.server, err = serve.New(serve.Config{
		Host: o.host, Trusted: trusted, MaxConns: o.maxConns, DrainDelay: o.drainDelay, DrainTimeout: o.drainTimeout,
		SystemRoots: sync.OnceValue(originate.SystemRoots), Replicas: from.replicas,
		Log: d.log.Named("entry"), Access: d.access.Logger(), Registerer: reg,
	})
	if err != nil {
		return err
	}
	lasting := context.WithoutCancel(ctx) // requests outlive the signal
	if err := d.listen(ctx, reg); err != nil {
		return errors.Join(err, d.release(ctx))
	}
	if err := d.load(lasting); err != nil {
		return errors.Join(err, d.release(ctx))
	}
	d.log.Info("entry started", zap.Stringer("admin", d.http[0].Addr()), zap.String("version", version.Get().Version))
	defer d.log.Info("entry stopped")
	return d.serve(ctx, caught)
}

// listen opens the listeners for operators and probes.
func (d *daemon) listen(ctx context.Context, reg *prometheus.Registry) error {
	cfg := admin.Config{
		Address: d.o.admin, Gatherer: reg, Registerer: reg, Logger: d.log.Named("admin"),
		Checks: []admin.Check{{Name: "listeners", Ready: d.ready}},
		More:   map[string]http.HandlerFunc{pathEntry: d.answer},
	}
	s, err := admin.Listen(ctx, cfg)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	d.http = append(d.http, s)
	if d.o.health == "" {
		return nil
	}
	cfg.Address, cfg.HealthOnly = d.o.health, true
	if s, err = admin.Listen(ctx, cfg); err != nil {
		return fmt.Errorf("--health: %w", err)
	}
	d.http = append(d.http, s)
	return nil
}

// ready is nil when all that is to be served is. Where Gateways come and go with Services of their own, that may be nothing.
func (d *daemon) ready() error {
	err := d.server.Ready()
	if errors.Is(err, serve.ErrNoListener) && d.o.namespace != "" && d.known.Load() {
		return nil
	}
	return err
}

// release closes what was opened before something else failed.
func (d *daemon) release(ctx context.Context) error {
	ended, end := context.WithCancel(ctx)
	end()
	var errs []error
	for _, s := range d.http {
		errs = append(errs, s.Run(ended))
	}
	return errors.Join(errs...)
}

// serve runs until ctx ends and the drain is over; operators and probes see both.
func (d *daemon) serve(ctx context.Context, caught *signals.Caught) error {
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, running := errgroup.WithContext(lasting)
	for _, s := range d.http {
		g.Go(func() error { return s.Run(running) })
	}
	g.Go(func() error { return caught.Run(running, d.log, func() { d.access.Reopen(); d.reread.Notify() }) })
	if w := d.source.writer; w != nil {
		g.Go(func() error {
			w.Run(ctx) // one that is to end lets another one write
			return nil
		})
	}
	if d.source.run != nil {
		g.Go(func() error {
			d.source.run(running)
			return nil
		})
	}
	g.Go(func() error {
		defer end()
		d.follow(ctx, running)
		d.log.Info("draining", zap.Duration("delay", d.o.drainDelay), zap.Duration("timeout", d.o.drainTimeout))
		d.server.Drain(running)
		return nil
	})
	return g.Wait()
}

// follow reads the manifests again and again.
func (d *daemon) follow(ctx, lasting context.Context) {
	tick := time.NewTicker(rereadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-lasting.Done():
			return
		case <-tick.C:
		case <-d.reread:
		case <-d.source.changed:
		}
		if err := d.load(lasting); err != nil {
			d.log.Error("manifests cannot be read: what was read last is served", zap.Error(err))
		}
	}
}

// load reads the manifests and serves them; ports that could not be opened are tried again.
func (d *daemon) load(ctx context.Context) error {
	m, errs, err := d.source.read()
	if err != nil {
		return err
	}
	switch {
	case m == nil:
		d.wait(errs)
	case d.last == nil || !reflect.DeepEqual(m, d.last) || !slices.Equal(errs, d.errs):
		d.use(m, errs)
		d.seen = nil
	}
	failed := ""
	if err := d.server.Apply(ctx, d.table); err != nil {
		failed = err.Error()
	}
	if failed != "" && failed != d.failed {
		d.log.Error("ports cannot be opened, trying again", zap.String("reason", failed))
	}
	d.failed = failed
	d.show()
	return nil
}

// show hands to the writer of statuses what is new.
func (d *daemon) show() {
	if d.source.writer == nil || d.status == nil {
		return
	}
	seen, unserved := d.source.statuses(), unservedOf(d.table, d.server.Failed())
	if len(seen) == 0 || len(d.seen) == len(seen) && &d.seen[0] == &seen[0] && maps.Equal(unserved, d.unserved) {
		return
	}
	d.seen, d.unserved = seen, unserved
	d.source.writer.Set(&status.Wanted{Status: d.status, Unserved: unserved}, seen)
}

// unservedOf are the listeners of ports that are not open.
func unservedOf(t *route.Table, failed map[uint16]error) map[status.Listener]string {
	out := make(map[status.Listener]string)
	for _, p := range t.Ports() {
		for _, l := range p.Listeners {
			if err := failed[p.Number]; err != nil {
				out[status.Listener{Gateway: l.Gateway, Name: gatewayv1.SectionName(l.Name)}] = err.Error()
			}
		}
	}
	return out
}

// wait shows why nothing is known yet.
func (d *daemon) wait(problems []string) {
	d.logNew(problems)
	d.report.Store(&Report{
		Listeners: []ListenerReport{}, Routes: []RouteReport{},
		Problems: append([]string{"what to serve is not known yet: the API server has not shown all of it"}, problems...),
	})
}

// logNew logs what was not wrong before.
func (d *daemon) logNew(problems []string) {
	for _, p := range problems {
		if !slices.Contains(d.errs, p) {
			d.log.Error(d.source.fault, zap.String("reason", p))
		}
	}
	d.errs = problems
}

// use makes a table of what was read.
func (d *daemon) use(m *route.Manifests, problems []string) {
	d.logNew(problems)
	table, compiled := d.kept.Compile(m)
	report := reportOf(compiled)
	report.Problems = problems
	d.last, d.table, d.status = m, table, compiled
	d.known.Store(true)
	d.report.Store(report)
	for i := range report.Listeners {
		if l := &report.Listeners[i]; !l.Ready {
			d.log.Warn("listener is not as its manifest wants it", zap.String("gateway", l.Gateway), zap.String("listener", l.Name),
				zap.String("reason", l.Problems))
		}
	}
	for i := range report.Routes {
		if r := &report.Routes[i]; !r.Ready {
			d.log.Warn("route is not as its manifest wants it", zap.String("kind", r.Kind), zap.String("route", r.Route),
				zap.String("reason", r.Problems))
		}
	}
	d.log.Info("manifests are used", zap.Int("gateways", len(m.Gateways)), zap.Int("routes", len(m.Routes)+len(m.GRPCRoutes)),
		zap.Int("problems", len(problems)))
}

// answer answers pathEntry.
func (d *daemon) answer(w http.ResponseWriter, _ *http.Request) {
	r := *d.report.Load()
	r.Problems = slices.Concat(r.Problems, d.server.Problems(), d.access.Problems())
	for _, s := range d.http {
		r.Problems = append(r.Problems, s.Problems()...)
	}
	if d.source.writer != nil {
		r.Problems = append(r.Problems, d.source.writer.Problems()...)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(r); err != nil {
		d.log.Debug("admin answer not delivered", zap.Error(err))
	}
}
