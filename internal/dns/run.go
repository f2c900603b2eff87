package dns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/dns/config"
	"github.com/eastway/eastway/internal/dns/server"
	"github.com/eastway/eastway/internal/dns/watch"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/signals"
	"github.com/eastway/eastway/internal/version"
)

// rereadInterval is the time between readings of the manifests: they are few, and a change that is used after two seconds is soon enough.
const rereadInterval = 2 * time.Second

// registry takes metrics and gives them to the admin listener.
type registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// daemon is everything that one `eastway dns` runs.
type daemon struct {
	o       options
	log     *zap.Logger
	reader  *config.Reader
	board   *watch.Board
	watcher *watch.Watcher
	handler *server.Handler
	server  *server.Server
	admin   *httpserve.Server
	health  *httpserve.Server // nil: there is none
	reread  notify.Signal

	// Of the last reading.
	last    *config.Config
	errs    []file.FileError
	failure string // of the directory; empty: it was read
	zones   atomic.Int64
}

// run serves until ctx ends.
func run(ctx context.Context, o options, stderr io.Writer) error {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return command.Usagef("--log-level: %w", err)
	}
	caught := signals.Catch()
	defer caught.Stop()
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d := &daemon{
		o: o, log: eventlog.New(stderr, level), reader: config.NewReader(o.config, o.allowLoopback), handler: server.NewHandler(),
		reread: notify.NewSignal(),
	}
	d.board = watch.NewBoard(d.log, reg)
	watching := watch.Config{Board: d.board, AllowLoopback: o.allowLoopback}
	if o.proxy != "" {
		client, err := admin.NewClient(o.proxy)
		if err != nil {
			return command.Usagef("--proxy: %w", err)
		}
		defer client.Close()
		watching.Proxy = client
	}
	d.watcher = watch.New(watching)
	if err := d.load(); err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	if err := d.listen(ctx, reg); err != nil {
		return errors.Join(err, d.release(ctx))
	}
	d.log.Info("DNS server started", zap.Stringer("listen", d.server.Addr()), zap.Stringer("admin", d.admin.Addr()),
		zap.String("version", version.Get().Version))
	defer d.log.Info("DNS server stopped")
	return d.serve(ctx, caught)
}

// listen opens all listeners.
func (d *daemon) listen(ctx context.Context, reg registry) (err error) {
	cfg := admin.Config{
		Address: d.o.admin, Gatherer: reg, Registerer: reg, Logger: d.log.Named("admin"),
		Checks: []admin.Check{{Name: "zones", Ready: d.ready}},
		More:   map[string]http.HandlerFunc{"GET " + pathExplain: d.explain},
	}
	if d.admin, err = admin.Listen(ctx, cfg); err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	if d.o.health != "" {
		cfg.Address, cfg.HealthOnly = d.o.health, true
		if d.health, err = admin.Listen(ctx, cfg); err != nil {
			return fmt.Errorf("--health: %w", err)
		}
	}
	d.server, err = server.Listen(ctx, server.Config{
		Listen: d.o.listen, Handler: d.handler, Rate: d.o.rate, Log: d.log.Named("dns"), Registerer: reg,
	})
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	return nil
}

// release closes what was opened before something else failed: a server that runs until a context which has ended closes its listener.
func (d *daemon) release(ctx context.Context) error {
	ended, end := context.WithCancel(ctx)
	end()
	var errs []error
	for _, s := range d.httpServers() {
		errs = append(errs, s.Run(ended))
	}
	return errors.Join(errs...)
}

func (d *daemon) httpServers() (all []*httpserve.Server) {
	return slices.DeleteFunc([]*httpserve.Server{d.admin, d.health}, func(s *httpserve.Server) bool { return s == nil })
}

func (d *daemon) serve(ctx context.Context, caught *signals.Caught) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range d.httpServers() {
		g.Go(func() error { return s.Run(ctx) })
	}
	g.Go(func() error { return d.watcher.Run(ctx) })
	g.Go(func() error { d.follow(ctx); return nil })
	g.Go(func() error { return caught.Run(ctx, d.log, d.reread.Notify) })
	g.Go(func() error {
		d.watcher.Settle(ctx) // meanwhile queries wait in the socket's buffer
		return d.server.Run(ctx)
	})
	return g.Wait()
}

// follow reads the manifests again and again.
func (d *daemon) follow(ctx context.Context) {
	tick := time.NewTicker(rereadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.reread:
		}
		if err := d.load(); err != nil {
			d.apply(d.last, d.errs, err.Error()+": what was read last is served")
		}
	}
}

// load reads the manifests.
func (d *daemon) load() error {
	c, errs, err := d.reader.Read()
	if err != nil {
		return err
	}
	d.apply(c, errs, "")
	return nil
}

// apply has the server follow what was read, if it is something new.
func (d *daemon) apply(c *config.Config, errs []file.FileError, failure string) {
	if d.last != nil && reflect.DeepEqual(c, d.last) && slices.Equal(errs, d.errs) && failure == d.failure {
		return
	}
	var problems []string
	for _, e := range errs {
		problems = append(problems, e.Error())
		if !slices.Contains(d.errs, e) {
			d.log.Error("manifest is not used as it stands", zap.String("file", e.File), zap.Int("document", e.Document), zap.Int("line", e.Line),
				zap.String("field", e.Field), zap.String("reason", e.Message))
		}
	}
	if failure != "" {
		problems = append(problems, failure)
		d.log.Error("manifests cannot be read", zap.String("reason", failure))
	}
	d.last, d.errs, d.failure = c, errs, failure
	d.zones.Store(int64(len(c.Zones)))
	d.handler.Set(d.board.SetConfig(time.Now(), c, problems))
	d.watcher.Changed()
	d.log.Info("manifests are used", zap.Int("zones", len(c.Zones)), zap.Int("names", len(c.Names)), zap.Int("problems", len(problems)))
}

func (d *daemon) ready() error {
	if d.zones.Load() == 0 {
		return fmt.Errorf("no %s is served: add one to %s", config.KindZone, d.o.config)
	}
	return nil
}

// explain answers pathExplain.
func (d *daemon) explain(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	report, _ := d.board.Report(time.Now(), name[:min(len(name), maxNameLength)])
	report.Problems = append(report.Problems, d.server.Problems()...)
	for _, s := range d.httpServers() {
		report.Problems = append(report.Problems, s.Problems()...)
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(report); err != nil {
		d.log.Debug("admin answer not delivered", zap.Error(err))
	}
}
