package eventlog

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A storm of one message is cut short, others are not.
func TestStormIsBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := New(&out, zapcore.InfoLevel)
	for range 10 * burst {
		log.Info("storm")
	}
	log.Info("calm")
	log.Debug("too much detail")
	if n := strings.Count(out.String(), `"storm"`); n < burst || n > 2*burst { // a second may end meanwhile
		t.Errorf("%d lines of a storm, want about %d", n, burst)
	}
	if n := strings.Count(out.String(), `"calm"`); n != 1 {
		t.Errorf("%d lines of another message", n)
	}
	if strings.Contains(out.String(), "too much detail") {
		t.Error("debug is written at level info")
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

// A certificate's issuer may have 13 KiB, and an escape sequence.
func TestTextsAreBounded(t *testing.T) {
	t.Parallel()
	long := "CN=\u009b2J" + strings.Repeat("x", 13<<10)
	for name, log := range map[string]func(*zap.Logger){
		"string": func(l *zap.Logger) { l.Info("event", zap.String("k", long)) },
		"error": func(l *zap.Logger) {
			l.Info("event", zap.Error(fmt.Errorf("issued by %s: %w", long, errors.New(long))))
		},
		"stringer": func(l *zap.Logger) { l.Info("event", zap.Stringer("k", stringer(long))) },
		"bytes":    func(l *zap.Logger) { l.Info("event", zap.ByteString("k", []byte(long))) },
		"with":     func(l *zap.Logger) { l.With(zap.String("k", long)).Info("event") },
		"message":  func(l *zap.Logger) { l.Info(long) }, // of net/http, for example
	} {
		var out bytes.Buffer
		log(New(&out, zapcore.InfoLevel))
		if n := out.Len(); n < MaxText || n > MaxText+200 || strings.Contains(out.String(), "\u009b") {
			t.Errorf("%s: a line of %d bytes: %.100s", name, n, out.String())
		}
	}
	var out bytes.Buffer
	New(&out, zapcore.InfoLevel).Info("event", zap.Error(nil), zap.Stringer("none", (*netip.AddrPort)(nil)), zap.Int("n", 1))
	if !strings.HasSuffix(out.String(), `"msg":"event","none":"<nil>","n":1}`+"\n") {
		t.Errorf("got %s", out.String())
	}
}
