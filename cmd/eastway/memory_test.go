package main

import (
	"math"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestPeerMemory(t *testing.T) {
	t.Parallel()
	const mi = 1 << 20
	for name, c := range map[string]struct {
		flag        string
		limit, want int64
		warns       int
	}{
		"no limit":             {"0", math.MaxInt64, 512 * mi, 0},
		"a large limit":        {"0", 4096 * mi, 512 * mi, 0},
		"a small limit":        {"0", 256 * mi, 64 * mi, 0},
		"set":                  {"100Mi", 256 * mi, 100 * mi, 0},
		"set, without a limit": {"2Gi", math.MaxInt64, 2048 * mi, 0},
		"more than fits":       {"200Mi", 256 * mi, 200 * mi, 1},
	} {
		core, logged := observer.New(zap.WarnLevel)
		flag := resource.MustParse(c.flag)
		if got := peerMemory(&flag, c.limit, zap.New(core)); got != c.want || logged.Len() != c.warns {
			t.Errorf("%s: %d bytes, want %d; %d warnings, want %d", name, got, c.want, logged.Len(), c.warns)
		}
	}
}
