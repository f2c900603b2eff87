package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/notify"
)

// Pace of following the directory.
const (
	// debounce is how long the directory must be quiet before it is read: writers make several changes for one.
	debounce = 50 * time.Millisecond
	// maxDebounce is how long a directory that is never quiet is left unread.
	maxDebounce = time.Second
	// rescanInterval is the time between readings that nothing called for: changes behind symbolic links and on
	// network file systems are noticed by them only.
	rescanInterval = 10 * time.Second
	// pollInterval takes its place where the kernel does not watch for us.
	pollInterval = 2 * time.Second
)

// Sink takes the local state; discovery.Catalog is one.
type Sink interface {
	SetLocal(discovery.Local)
}

// Config of a Source. Only Dir is needed.
type Config struct {
	// Dir holds the manifests: *.yaml, *.yml and *.json in any case, neither hidden files nor folders below it.
	Dir string
	// Cluster and SPIFFEID are the own ones, which no Peer may have.
	Cluster  string
	SPIFFEID string
	// Region is where endpoints are that nothing else places.
	Region string
	// ValidatePeer returns what is wrong with the identity or the trust bundle of a Peer; a *field.Error names the field.
	ValidatePeer func(name, spiffeID, bundle string) error
	// DoubtPeer returns what an operator has to know of the trust bundle of a Peer that is used, empty for nothing; nil: nothing.
	DoubtPeer func(name, spiffeID, bundle string) string
	// Guard decides which addresses may be endpoints; nil: loopback addresses may.
	Guard *discovery.Guard
	// Log may be nil.
	Log *zap.Logger
	// Registerer of metrics may be nil.
	Registerer prometheus.Registerer
}

// Validate names the first field that is wrong.
func (c *Config) Validate() error {
	if c.Dir == "" {
		return errors.New("file: Config.Dir: the directory of the manifests is required")
	}
	if msgs := validation.IsValidLabelValue(c.Region); len(msgs) > 0 {
		return fmt.Errorf("file: Config.Region: %q: %s", c.Region, msgs[0])
	}
	return nil
}

// Source follows a directory.
type Source struct {
	cfg     Config
	sink    Sink
	log     *zap.Logger
	metrics *metrics
	store   *store
	again   notify.Signal
	// ignored are the notes that the log has.
	ignored map[FileError]bool

	mu   sync.Mutex
	errs []FileError
}

// New returns a Source that sets the state of sink while it runs.
func New(cfg Config, sink Sink) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, sink: sink, log: cfg.Log, metrics: newMetrics(cfg.Registerer), again: notify.NewSignal()}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.store = newStore(&s.cfg)
	return s, nil
}

// Errors are those of the newest reading, in the order of files and lines.
func (s *Source) Errors() []FileError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.errs)
}

// Run reads the directory, sets the state of the sink, and follows the directory until ctx ends, then returns nil. It fails
// only if the directory cannot be read in the beginning; later the last good state is kept.
func (s *Source) Run(ctx context.Context) error {
	f := &follower{dir: s.cfg.Dir, log: s.log, again: s.again}
	if err := f.watch(); err != nil {
		s.log.Warn("watching the manifests failed, they are read every few seconds instead", zap.String("dir", s.cfg.Dir),
			zap.Error(err))
	}
	defer func() { _ = f.close() }()
	if err := s.reload(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: create the directory or name another", err)
		}
		return err
	}
	for f.next(ctx) {
		if err := s.reload(); err != nil {
			s.report([]FileError{{File: filepath.Base(s.cfg.Dir), Message: err.Error() + ": the last good state is kept"}})
			s.metrics.reloads.WithLabelValues(resultFailed).Inc()
		}
	}
	return nil
}

// Reload has Run read the directory now.
func (s *Source) Reload() { s.again.Notify() }

func (s *Source) reload() error {
	local, errs, err := s.store.load()
	if err != nil {
		return err
	}
	s.sink.SetLocal(local)
	s.report(errs)
	s.reportIgnored()
	result := resultOK
	if slices.ContainsFunc(errs, func(e FileError) bool { return !e.Warning }) {
		result = resultErrors
	}
	s.metrics.reloads.WithLabelValues(result).Inc()
	return nil
}

// report logs what is new among the errors and keeps them for Errors.
func (s *Source) report(errs []FileError) {
	s.mu.Lock()
	old := s.errs
	s.errs = errs
	s.mu.Unlock()
	known := make(map[FileError]bool, len(old))
	for _, e := range old {
		known[e] = true
	}
	count := 0
	for _, e := range errs {
		if !e.Warning {
			count++
		}
		if known[e] {
			continue
		}
		fields := []zap.Field{
			zap.String("file", e.File), zap.Int("document", e.Document), zap.Int("line", e.Line),
			zap.String("field", e.Field), zap.String("reason", e.Message),
		}
		if e.Warning {
			s.log.Warn("manifest is doubtful", fields...)
		} else {
			s.log.Error("manifest is not used as it stands", fields...)
		}
	}
	if len(old) > 0 && len(errs) == 0 {
		s.log.Info("manifests are in order again")
	}
	s.metrics.errors.Set(float64(count))
}

// reportIgnored logs what is not read on purpose, once for as long as it is there.
func (s *Source) reportIgnored() {
	known := s.ignored
	s.ignored = map[FileError]bool{}
	for _, e := range s.store.notes() {
		s.ignored[e] = true
		switch {
		case known[e]:
		case s.store.ignored[e.File] != "":
			s.log.Info("file is ignored", zap.String("file", e.File), zap.String("reason", e.Message))
		default:
			s.log.Info("objects are ignored", zap.String("file", e.File), zap.String("reason", e.Message))
		}
	}
}

// follower waits until the directory is to be read again.
type follower struct {
	dir     string
	log     *zap.Logger
	again   notify.Signal
	watcher *fsnotify.Watcher // nil: poll
}

// watch watches the path again, since it may lead to another directory by now.
func (f *follower) watch() error {
	if f.watcher == nil {
		w, err := fsnotify.NewWatcher()
		if err != nil {
			return err
		}
		f.watcher = w
	} else if err := f.watcher.Remove(f.dir); err != nil && !errors.Is(err, fsnotify.ErrNonExistentWatch) {
		return err
	}
	if err := f.watcher.Add(f.dir); err != nil {
		return errors.Join(err, f.close())
	}
	return nil
}

func (f *follower) close() error {
	if f.watcher == nil {
		return nil
	}
	w := f.watcher
	f.watcher = nil
	return w.Close()
}

// next waits until the directory should be read; false means that ctx ended.
func (f *follower) next(ctx context.Context) bool {
	var events chan fsnotify.Event
	var failures chan error
	period := pollInterval
	if f.watcher != nil {
		events, failures, period = f.watcher.Events, f.watcher.Errors, rescanInterval
	}
	rescan := time.NewTimer(period)
	defer rescan.Stop()
	var quiet <-chan time.Time
	var limit time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-rescan.C:
			_ = f.watch() // if that fails, it is tried again before the next reading
			return true
		case <-quiet:
			return true
		case <-f.again:
			_ = f.watch()
			return true
		case e := <-events:
			if e.Op == fsnotify.Chmod {
				continue
			}
			if e.Name == f.dir { // removed or replaced
				_ = f.watch()
				return true
			}
			if limit.IsZero() {
				limit = time.Now().Add(maxDebounce)
			}
			quiet = time.After(min(debounce, time.Until(limit)))
		case err := <-failures: // some events were lost
			f.log.Warn("watching the manifests was interrupted, reading all of them", zap.Error(err))
			return true
		}
	}
}
