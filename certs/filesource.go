package certs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/notify"
)

// Files of a FileSource's directory: the keys of a Kubernetes Secret of type
// kubernetes.io/tls, as cert-manager writes it.
const (
	svidCertFile   = "tls.crt"
	svidKeyFile    = "tls.key"
	svidBundleFile = "ca.crt" // optional
)

// lateAt is the part of a certificate's life after which it should have been renewed.
const lateAt = 0.8

// FileSourceConfig of a FileSource.
type FileSourceConfig struct {
	// Dir holds tls.crt, tls.key and perhaps ca.crt. Required.
	Dir string
	// Name is the cluster that the certificate must be of; empty means any.
	Name string
	// Node: the certificate must be that of node agents, and the files may be missing at first. Until they are there,
	// GetX509SVID fails.
	Node bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log takes one line for each change; nil means none.
	Log *zap.Logger
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
}

// Validate names the first field that is not usable.
func (c FileSourceConfig) Validate() error {
	if c.Dir == "" {
		return errors.New("certs: FileSourceConfig.Dir is required")
	}
	if c.Node && c.Name != "" {
		return errors.New("certs: FileSourceConfig.Name and Node exclude each other: node agents are of no particular cluster")
	}
	if c.Name != "" {
		if err := checkName(c.Name); err != nil {
			return fmt.Errorf("certs: FileSourceConfig.Name: %w", err)
		}
	}
	return nil
}

// FileSource is the own identity in files that another program renews. Files that are broken
// change nothing: the last good ones stay in use. It implements x509svid.Source.
type FileSource struct {
	cfg     FileSourceConfig
	log     *zap.Logger
	metrics *sourceMetrics
	current atomic.Pointer[fileIdentity]
	again   notify.Signal
	changed notify.Broadcast
	wrong   problem

	// Only the constructor and Run touch these.
	seen    [sha256.Size]byte // what was read last, good or not
	seenErr string            // what was wrong with it
	late    bool              // logged already
	since   time.Time         // when the current certificate was read first
}

// NewFileSource reads the files, which must be there and whole; Run follows them. A certificate that
// is expired already is taken, so that a proxy can start and wait for a new one.
func NewFileSource(c FileSourceConfig) (*FileSource, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &FileSource{cfg: c, log: orNop(c.Log), again: notify.NewSignal()}
	id, err := s.load()
	if err != nil && !c.Node {
		return nil, fmt.Errorf("certs: certificate in %s: %w", c.Dir, err)
	}
	if s.metrics, err = newSourceMetrics(c.Registerer); err != nil {
		return nil, err
	}
	if id == nil {
		s.seen = [sha256.Size]byte{} // Run says what is wrong with them
		return s, nil
	}
	s.use(id)
	return s, nil
}

// GetX509SVID is the current SVID.
func (s *FileSource) GetX509SVID() (*x509svid.SVID, error) {
	if id := s.current.Load(); id != nil {
		return id.svid, nil
	}
	return nil, fmt.Errorf("certs: there is no usable certificate in %s yet", s.cfg.Dir)
}

// Bundle is our own trust bundle, for peers to import; nil when there is no ca.crt.
func (s *FileSource) Bundle() *x509bundle.Bundle {
	if id := s.current.Load(); id != nil && id.bundle != nil {
		return id.bundle.Clone()
	}
	return nil
}

// ID is the own SPIFFE ID; zero while there is no certificate.
func (s *FileSource) ID() spiffeid.ID {
	if id := s.current.Load(); id != nil {
		return id.svid.ID
	}
	return spiffeid.ID{}
}

// Changed returns a channel that is closed when another certificate or bundle is in use.
func (s *FileSource) Changed() <-chan struct{} { return s.changed.Changed() }

// Reload has Run read the files now.
func (s *FileSource) Reload() { s.again.Notify() }

// Problems are what is wrong with the files and the certificate now, for the operator.
func (s *FileSource) Problems() []string {
	var out []string
	if text := s.wrong.get(); text != "" {
		out = append(out, fmt.Sprintf("certificate files in %s are not used as they are: %s", s.cfg.Dir, text))
	}
	id := s.current.Load()
	if id != nil && id.doubt != nil {
		out = append(out, fmt.Sprintf("certificate in %s: %v", s.cfg.Dir, id.doubt))
	}
	if id != nil && id.bundle != nil {
		if ending := Ending(id.bundle, s.cfg.Now()); ending != "" {
			out = append(out, fmt.Sprintf("%s in %s: %s; renew the root, and let every peer import the new bundle",
				svidBundleFile, s.cfg.Dir, ending))
		}
	}
	if id != nil && s.cfg.Now().After(id.first.NotAfter) {
		out = append(out, fmt.Sprintf("certificate in %s: %q expired at %s: check what renews the files",
			s.cfg.Dir, clip.Text(id.first.Subject.String(), maxSubject), stamp(id.first.NotAfter)))
	}
	return out
}

// Run re-reads the files when they change, until ctx ends; it returns nil then. Where changes
// cannot be watched it looks every 30 seconds.
func (s *FileSource) Run(ctx context.Context) error {
	followDir(ctx, s.cfg.Dir, s.again, s.log, s.reload)
	return nil
}

func (s *FileSource) reload() {
	before := s.seen
	id, err := s.load()
	if s.seen != before {
		s.seenErr = ""
	}
	if err == nil {
		err = s.worse(id)
	}
	switch {
	case errors.Is(err, errUnchanged):
		s.wrong.set(s.seenErr) // they may have been unreadable, and are there again
		s.checkLate()
	case err != nil:
		if s.seen != before {
			s.seenErr = err.Error()
		}
		s.keep(err)
	default:
		s.metrics.renewed(true, 1)
		s.use(id)
	}
}

// worse returns why the identity in use, which peers accept, is better than a new one. That one may wait for its other files.
func (s *FileSource) worse(id *fileIdentity) error {
	old := s.current.Load()
	switch {
	case old == nil || s.expired(old):
		return nil
	case s.expired(id):
		return fmt.Errorf("the new certificate expired at %s already, our clock says %s",
			stamp(id.svid.Certificates[0].NotAfter), stamp(s.cfg.Now()))
	case old.doubt == nil && old.bundle != nil:
		return id.doubt
	}
	return nil
}

// errUnchanged: the files are those that were read the last time.
var errUnchanged = errors.New("unchanged")

// load reads all files and makes an identity of them when one has changed.
func (s *FileSource) load() (*fileIdentity, error) {
	h := sha256.New()
	var data [3][]byte
	for i, name := range []string{svidCertFile, svidKeyFile, svidBundleFile} {
		var err error
		data[i], _, err = readFile(filepath.Join(s.cfg.Dir, name))
		if err != nil && (name != svidBundleFile || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		fmt.Fprintf(h, "%d:", len(data[i]))
		h.Write(data[i])
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if sum == s.seen {
		return nil, errUnchanged
	}
	s.seen = sum
	expect := clusterOf(s.cfg.Name)
	if s.cfg.Node {
		expect = nodeOnly()
	}
	return parseIdentity(expect, data[0], data[1], data[2])
}

func (s *FileSource) use(id *fileIdentity) {
	s.current.Store(id)
	s.wrong.set("")
	s.late, s.since = false, s.cfg.Now()
	if id.doubt != nil {
		s.log.Warn("certificate is used, but peers would refuse it", zap.String("dir", s.cfg.Dir), zap.Error(id.doubt))
	}
	s.metrics.svidExpiry.Set(unix(id.first.NotAfter))
	if id.bundle != nil {
		s.metrics.caExpiry.Set(unix(bundleExpiry(id.bundle)))
	}
	s.log.Info("certificate read", zap.String("dir", s.cfg.Dir), zap.String("spiffe_id", id.svid.ID.String()),
		zap.Time("expires", id.svid.Certificates[0].NotAfter))
	s.checkLate()
	s.changed.Notify()
}

// keep logs an error once: the files are read again and again.
func (s *FileSource) keep(err error) {
	if !s.wrong.set(err.Error()) {
		return
	}
	if s.current.Load() == nil && errors.Is(err, fs.ErrNotExist) {
		s.log.Info("there is no certificate yet", zap.String("dir", s.cfg.Dir), zap.Error(err))
		return
	}
	s.metrics.renewed(false, 1)
	if s.current.Load() == nil {
		s.log.Error("certificate files are broken", zap.String("dir", s.cfg.Dir), zap.Error(err))
		return
	}
	s.log.Error("certificate files are broken, the last good ones stay in use", zap.String("dir", s.cfg.Dir),
		zap.Error(err), zap.Time("expires", s.current.Load().svid.Certificates[0].NotAfter))
}

// checkLate logs once that the certificate was not renewed.
func (s *FileSource) checkLate() {
	if s.current.Load() == nil {
		return
	}
	c := s.current.Load().first
	began := c.NotBefore
	if c.NotAfter.Sub(began) > MaxTTL {
		began = s.since // that far back, often in 1970, it says nothing of how long certificates are used
	}
	if s.late || s.cfg.Now().Before(began.Add(time.Duration(lateAt*float64(c.NotAfter.Sub(began))))) {
		return
	}
	s.late = true
	s.log.Warn("certificate expires soon or has expired and was not renewed: check what writes the files",
		zap.String("dir", s.cfg.Dir), zap.String("subject", clip.Text(c.Subject.String(), maxSubject)), zap.Time("expires", c.NotAfter))
}

func (s *FileSource) expired(id *fileIdentity) bool {
	return s.cfg.Now().After(id.svid.Certificates[0].NotAfter)
}
