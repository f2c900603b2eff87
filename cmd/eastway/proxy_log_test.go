package main

import (
	"testing"

	"go.uber.org/zap/zapcore"
)

// A storm of one message is cut short, others are not.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	var out record
	log := newLog(&out, zapcore.InfoLevel)
	for range 10 * logBurst {
		log.Info("storm")
	}
	log.Info("calm")
	log.Debug("too much detail")
	if n := len(out.lines(t, map[string]any{"msg": "storm"})); n < logBurst || n > 2*logBurst { // a second may end meanwhile
		t.Errorf("%d lines of a storm, want about %d", n, logBurst)
	}
	if n := len(out.lines(t, map[string]any{"msg": "calm"})); n != 1 {
		t.Errorf("%d lines of another message", n)
	}
	if n := len(out.lines(t, map[string]any{"msg": "too much detail"})); n != 0 {
		t.Error("debug is written at level info")
	}
}
