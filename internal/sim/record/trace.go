package record

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Trace is what happened, in the order in which it did, by virtual time.
type Trace struct {
	mu    sync.Mutex
	began time.Time
	to    io.Writer // nil: nothing is kept
}

// NewTrace begins now.
func NewTrace(to io.Writer) *Trace { return &Trace{to: to, began: time.Now()} }

// Add adds a line.
func (t *Trace) Add(format string, args ...any) {
	if t.to == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.to, "%10.4f  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

// Logger is a logger that writes into the trace.
func (t *Trace) Logger(name string) *zap.Logger {
	if t.to == nil {
		return zap.NewNop()
	}
	return zap.New(&logCore{trace: t, name: name})
}

// logCore is a zapcore.Core on a trace.
type logCore struct {
	trace *Trace
	name  string
	with  []zapcore.Field
}

func (*logCore) Enabled(l zapcore.Level) bool { return l > zapcore.DebugLevel }

func (c *logCore) With(f []zapcore.Field) zapcore.Core {
	return &logCore{trace: c.trace, name: c.name, with: append(slices.Clip(c.with), f...)}
}

func (c *logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range append(slices.Clip(c.with), fields...) {
		f.AddTo(m)
	}
	c.trace.Add("%-8s %s %v", c.name, e.Message, m.Fields)
	return nil
}

func (*logCore) Sync() error { return nil }
