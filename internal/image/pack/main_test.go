package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	binary := filepath.Join(dir, "eastway")
	if err := os.WriteFile(binary, []byte("binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	valid := []string{"-version", "v1", "-created", "1700000000", "-output", dir, "-binary", "amd64=" + binary}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no version":  {[]string{"-created", "1", "-binary", "amd64=" + binary}, "Version"},
		"no date":     {[]string{"-version", "v1", "-binary", "amd64=" + binary}, "Created"},
		"no path":     {[]string{"-binary", "amd64"}, "ARCH=PATH"},
		"no such dir": {append(valid, "-output", binary), "directory"},
		"valid":       {valid, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := run(test.args, &out)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want one with %q", err, test.want)
				}
				return
			}
			if err != nil || !strings.Contains(out.String(), "docker.io/eastway/eastway:v1@sha256:") {
				t.Errorf("%v, printed %q", err, out.String())
			}
		})
	}
}
