package failover

import (
	"math"
	"testing"
)

func TestRoom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		files  uint64
		memory int64
		want   int
	}{
		{1 << 20, math.MaxInt64, 346_794},
		// What docs/limits.md says is needed.
		{57_344, 0, defaultMaxConnections},
		{57_341, 0, defaultMaxConnections - 1},
		// Nine tenths of the chart's memory limit.
		{1 << 20, 2 << 30 / 10 * 9, 16_852},
		{1 << 20, 256 << 20, 2340},
		{20_000, 0, 5000},
		{1024, 0, 256},
		{256, 0, 64},
		{1, 0, 1},
		{0, 1, 1},
	} {
		if got := room(tt.files, tt.memory); got != tt.want {
			t.Errorf("%d files, %d bytes: %d, want %d", tt.files, tt.memory, got, tt.want)
		}
	}
	if got := room(0, 0); got < defaultMaxConnections {
		t.Errorf("without a limit: %d", got)
	}
}

// Where a process may open few files, or has little memory, applications and peers cannot take it all, nor the callers of one service.
func TestLittleRoom(t *testing.T) {
	t.Parallel()
	const all, listener, streams, peer = defaultMaxConnections, defaultMaxPerListener, defaultMaxStreams, defaultMaxStreamsPerPeer
	for _, tt := range []struct {
		cfg  Config
		want [4]int // connections, those per listener, streams, those per peer
	}{
		{Config{}, [4]int{all, listener, streams, peer}},
		{Config{OpenFiles: 1 << 20, Memory: math.MaxInt64}, [4]int{all, listener, streams, peer}},
		{Config{OpenFiles: 1024}, [4]int{256, 128, 256, 192}},
		{Config{Memory: 256 << 20}, [4]int{2340, 1170, 2340, 1755}},
		{Config{OpenFiles: 1}, [4]int{1, 1, 1, 1}},
		{Config{OpenFiles: 1024, MaxConnections: 1000}, [4]int{1000, 128, 256, 192}},
		{Config{OpenFiles: 1024, MaxConnections: 1000, MaxConnectionsPerListener: 1000}, [4]int{1000, 1000, 256, 192}},
		{Config{MaxConnections: 100_000, MaxStreams: 50_000}, [4]int{100_000, listener, 50_000, peer}},
		{Config{MaxStreams: 100}, [4]int{all, listener, 100, 75}},
		{Config{MaxStreamsPerPeer: 5}, [4]int{all, listener, streams, 5}},
	} {
		c := tt.cfg.withDefaults()
		if got := [4]int{c.MaxConnections, c.MaxConnectionsPerListener, c.MaxStreams, c.MaxStreamsPerPeer}; got != tt.want {
			t.Errorf("%+v: %d, want %d", tt.cfg, got, tt.want)
		}
	}
}
