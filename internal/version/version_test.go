package version

import (
	"runtime"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDescribe(t *testing.T) {
	t.Parallel()
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "abc123"}
	tests := []struct {
		name            string
		release         string
		build           *debug.BuildInfo
		version, commit string
	}{
		{"nothing known", "", nil, "unknown", "unknown"},
		{"empty build info", "", &debug.BuildInfo{}, "unknown", "unknown"},
		{
			"go install", "", &debug.BuildInfo{Main: debug.Module{Version: "v0.3.0"}},
			"v0.3.0", "unknown",
		},
		{
			"the linker wins", "v0.4.0", &debug.BuildInfo{
				Main:     debug.Module{Version: "(devel)"},
				Settings: []debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}},
			},
			"v0.4.0", "abc123",
		},
		{
			"changed files", "v0.4.0", &debug.BuildInfo{
				Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}, revision},
			},
			"v0.4.0", "abc123-dirty",
		},
		{
			"changed files, no revision", "", &debug.BuildInfo{
				Settings: []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}},
			},
			"unknown", "unknown",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := describe(tt.release, tt.build)
			want := Info{
				Version: tt.version, Commit: tt.commit, Protocol: "eastway/1",
				Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
			}
			if got != want {
				t.Errorf("describe() = %+v, want %+v", got, want)
			}
		})
	}
}
