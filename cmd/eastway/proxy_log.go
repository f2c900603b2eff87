package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/failover"
)

// Of lines with the same message, logBurst are written per second, and one in logThereafter beyond that: strangers
// that knock at the tunnels' port must not fill the disk. Metrics count all.
const (
	logBurst      = 100
	logThereafter = 1000
)

// newLog writes events; its own failures cannot be reported anywhere.
func newLog(w io.Writer, level zapcore.Level) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(cfg), zapcore.Lock(zapcore.AddSync(w)), level)
	core = zapcore.NewSamplerWithOptions(core, time.Second, logBurst, logThereafter)
	return zap.New(core, zap.ErrorOutput(zapcore.AddSync(io.Discard)))
}

// lossLogInterval is the time between two log lines about an access log that cannot be written:
// a full disk stays full, and connections go on.
const lossLogInterval = time.Minute

// accessLog writes lines to a file or stdout. A failure to write never stops a connection.
type accessLog struct {
	w      io.Writer
	close  func()
	log    *zap.Logger
	lost   prometheus.Counter
	silent atomic.Int64 // Unix nanoseconds until which nothing more is logged
}

// openAccessLog opens the file to append to; "-" is stdout, "" nothing.
func openAccessLog(name string, stdout io.Writer, log *zap.Logger, reg prometheus.Registerer) (*accessLog, error) {
	a := &accessLog{
		w: stdout, close: func() {}, log: log,
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eastway_access_log_lost_lines_total", Help: "Lines of the access log that could not be written.",
		}),
	}
	if err := reg.Register(a.lost); err != nil {
		return nil, fmt.Errorf("access log: register metrics: %w", err)
	}
	switch name {
	case "":
		a.w = nil
	case "-":
	default:
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640) //nolint:gosec // for the operator's group to read
		if err != nil {
			return nil, fmt.Errorf("open access log: %w: choose another file with --access-log", err)
		}
		a.w, a.close = f, func() { _ = f.Close() }
	}
	return a, nil
}

func (a *accessLog) logger() *zap.Logger {
	if a.w == nil {
		return zap.NewNop()
	}
	return failover.NewAccessLog(zapcore.Lock(a))
}

// Write never fails: lost lines are counted, and logged once in a while.
func (a *accessLog) Write(line []byte) (int, error) {
	_, err := a.w.Write(line)
	if err == nil {
		return len(line), nil
	}
	a.lost.Inc()
	now := time.Now()
	if silent := a.silent.Load(); now.UnixNano() >= silent &&
		a.silent.CompareAndSwap(silent, now.Add(lossLogInterval).UnixNano()) {
		a.log.Error("access log cannot be written, its lines are lost; connections go on", zap.Error(err))
	}
	return len(line), nil
}

// Sync is for zap; lines are not buffered here.
func (*accessLog) Sync() error { return nil }
