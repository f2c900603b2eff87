package sim

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// trace is what happened, in the order in which it did, by virtual time.
type trace struct {
	mu    sync.Mutex
	began time.Time
	to    io.Writer // nil: nothing is kept
}

func (t *trace) add(format string, args ...any) {
	if t.to == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = fmt.Fprintf(t.to, "%10.4f  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

// logger is a logger that writes into the trace.
func (t *trace) logger(name string) *zap.Logger {
	if t.to == nil {
		return zap.NewNop()
	}
	return zap.New(&logCore{trace: t, name: name})
}

// logCore is a zapcore.Core on a trace.
type logCore struct {
	trace *trace
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
	c.trace.add("%-8s %s %v", c.name, e.Message, m.Fields)
	return nil
}

func (*logCore) Sync() error { return nil }
