package failover

import "testing"

func TestConnectionsWithin(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{
		1 << 63: defaultMaxConnections,
		1 << 20: defaultMaxConnections,
		// What docs/limits.md says is needed.
		40_960: defaultMaxConnections,
		40_958: defaultMaxConnections - 1,
		20_000: 5904,
		16_384: 4096,
		4096:   1024,
		1024:   256,
		0:      0,
	} {
		if got := connectionsWithin(files); got != want {
			t.Errorf("%d files: %d connections, want %d", files, got, want)
		}
	}
}

// Where a process may open few files, applications cannot take them all, nor the callers of one service those of all.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg              Config
		all, perListener int
	}{
		{Config{}, defaultMaxConnections, defaultMaxPerListener},
		{Config{OpenFiles: 1 << 20}, defaultMaxConnections, defaultMaxPerListener},
		{Config{OpenFiles: 1024}, 256, 128},
		{Config{OpenFiles: 1}, 1, 1},
		{Config{OpenFiles: 1024, MaxConnections: 1000}, 1000, 128},
		{Config{OpenFiles: 1024, MaxConnections: 1000, MaxConnectionsPerListener: 1000}, 1000, 1000},
	} {
		c := tt.cfg.withDefaults()
		if c.MaxConnections != tt.all || c.MaxConnectionsPerListener != tt.perListener {
			t.Errorf("%+v: %d connections, %d per listener", tt.cfg, c.MaxConnections, c.MaxConnectionsPerListener)
		}
	}
}
