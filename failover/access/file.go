package access

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/eastway/eastway/internal/tally"
)

// DefaultRate is how many lines per second are written: about 4 MB. A peer or an application can open and end more connections
// than a disk can take lines.
const DefaultRate = 5_000

// burstSeconds is for how many seconds' lines there is room at once.
const burstSeconds = 2

// FileConfig is where an access log is written, and what is told of it.
type FileConfig struct {
	// Name is a file to append to; "-" is Stdout, "" nothing.
	Name   string
	Stdout io.Writer
	// Rate is how many lines per second are written; 0: all.
	Rate int
	// Log gets what went wrong, once in a while; nil: nothing.
	Log *zap.Logger
	// Registerer gets the counts of lines that are not in the log; nil: none.
	Registerer prometheus.Registerer
}

// Validate names the field that is wrong.
func (c *FileConfig) Validate() error {
	switch {
	case c.Rate < 0:
		return fmt.Errorf("access log: Rate %d is negative: use 0 for no bound", c.Rate)
	case c.Name == "-" && c.Stdout == nil:
		return errors.New("access log: Stdout is missing")
	}
	return nil
}

// File is an access log. A failure to write never stops a connection.
type File struct {
	name    string    // "": not a file of our own
	w       io.Writer // nil: nothing is written; a *os.File if there is a name
	log     *zap.Logger
	lost    prometheus.Counter
	omitted prometheus.Counter

	mu       sync.Mutex
	limit    *rate.Limiter
	failed   tally.Tally // lines that could not be written
	leftOut  tally.Tally // lines beyond the rate
	perSec   int
	lastFail error
	reopen   error // of the last Reopen
}

// Open opens the log.
func Open(c FileConfig) (*File, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	f := &File{
		w: c.Stdout, log: c.Log, perSec: c.Rate,
		limit: rate.NewLimiter(rate.Inf, 0),
		lost:  counter("eastway_access_log_lost_lines_total", "Lines of the access log that could not be written."),
		omitted: counter("eastway_access_log_omitted_lines_total",
			"Lines of the access log that were left out because more came than `--access-log-rate`."),
	}
	if f.log == nil {
		f.log = zap.NewNop()
	}
	if c.Rate > 0 {
		f.limit = rate.NewLimiter(rate.Limit(c.Rate), burstSeconds*c.Rate)
	}
	if c.Registerer != nil {
		if err := errors.Join(c.Registerer.Register(f.lost), c.Registerer.Register(f.omitted)); err != nil {
			return nil, fmt.Errorf("access log: register metrics: %w", err)
		}
	}
	switch c.Name {
	case "":
		f.w = nil
	case "-":
	default:
		file, err := appendTo(c.Name)
		if err != nil {
			return nil, fmt.Errorf("open access log: %w: choose another file with --access-log", err)
		}
		f.name, f.w = c.Name, file
	}
	return f, nil
}

// appendTo does not wait, as for the reader of a FIFO. Nor would a FIFO do that has one: lines would be lost when it is slow or goes
// away. A pipe or a socket that is this process's own stdout or stderr was given to it on purpose, as in /dev/stdout.
func appendTo(name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err == nil && !writable(info) {
		return nil, fmt.Errorf("%s is neither a regular file nor a character device (%s): it cannot be written without waiting", name, info.Mode())
	}
	//nolint:gosec // for the operator's group to read
	return os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NONBLOCK, 0o640)
}

func writable(info fs.FileInfo) bool {
	if info.Mode().IsRegular() || info.Mode()&fs.ModeCharDevice != 0 {
		return true
	}
	return slices.ContainsFunc([]*os.File{os.Stdout, os.Stderr}, func(f *os.File) bool {
		own, err := f.Stat()
		return err == nil && os.SameFile(own, info)
	})
}

// Reopen opens the file by its name again, after a rotation has moved it away. Each line goes to the old file or to the new one,
// and to the old one if the new one cannot be opened: that is logged, and among the Problems until a Reopen succeeds.
func (f *File) Reopen() {
	if f.name == "" {
		return
	}
	file, err := appendTo(f.name)
	f.mu.Lock()
	old := f.w
	if f.reopen = err; err == nil {
		f.w = file
	}
	f.mu.Unlock()
	if err != nil {
		f.log.Error("access log cannot be reopened, lines go to the file that was open before", zap.Error(err))
		return
	}
	if c, ok := old.(io.Closer); ok {
		if err := c.Close(); err != nil {
			f.log.Error("access log: lines of the file that was open before may be lost", zap.Error(err))
		}
	}
}

// Logger writes to the file.
func (f *File) Logger() *zap.Logger {
	if f.w == nil {
		return zap.NewNop()
	}
	return NewLog(f)
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.w.(io.Closer); ok && f.name != "" {
		return c.Close()
	}
	return nil
}

// Write writes one line. It never fails: lines that are not written are counted, and logged once in a while.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if !f.limit.AllowN(now, 1) {
		f.omitted.Inc()
		if due := f.leftOut.Note(now, 1); due > 0 {
			f.log.Warn("access log: lines are left out, more connections end than it may have lines",
				zap.Uint64("left_out", due), zap.Int("lines_per_second", f.perSec), zap.String("remedy", remedy))
		}
		return len(line), nil
	}
	if _, err := f.w.Write(line); err != nil {
		f.lost.Inc()
		f.lastFail = err
		if due := f.failed.Note(now, 1); due > 0 {
			f.log.Error("access log cannot be written, its lines are lost; connections go on", zap.Uint64("lost", due), zap.Error(err))
		}
	}
	return len(line), nil
}

const remedy = "find out what opens so many connections, or raise --access-log-rate"

// Sync is for zap; lines are not buffered here.
func (*File) Sync() error { return nil }

// Problems are what has gone wrong lately, for the operator.
func (f *File) Problems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var out []string
	if !f.leftOut.Over(now) {
		out = append(out, fmt.Sprintf("access log: %d lines were left out, at most %d are written per second (last %v ago): %s",
			f.leftOut.Recent, f.perSec, now.Sub(f.leftOut.Last).Truncate(time.Second), remedy))
	}
	if f.reopen != nil {
		out = append(out, fmt.Sprintf("access log: lines go to the file that was open before, since it cannot be reopened: %v: "+
			"repair that, then send SIGHUP", f.reopen))
	}
	if !f.failed.Over(now) {
		out = append(out, fmt.Sprintf("access log: %d lines could not be written (last %v ago): %v",
			f.failed.Recent, now.Sub(f.failed.Last).Truncate(time.Second), f.lastFail))
	}
	return out
}
