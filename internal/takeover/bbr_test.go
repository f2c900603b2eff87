package takeover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAllowBBR(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, allowed, available string
		want, err                string
	}{
		{"allowed already", "reno bbr", "reno cubic", "reno bbr", ""},
		{"not yet", "reno cubic\n", "reno cubic bbr\n", "reno cubic bbr", ""},
		{"not in this kernel", "reno cubic", "reno cubic", "reno cubic", "tcp_bbr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			proc := t.TempDir()
			if err := os.MkdirAll(filepath.Join(proc, "sys", filepath.Dir(allowedFile)), 0o700); err != nil {
				t.Fatal(err)
			}
			allowed := filepath.Join(proc, "sys", allowedFile)
			for path, content := range map[string]string{allowed: tt.allowed, filepath.Join(proc, "sys", availableFile): tt.available} {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := AllowBBR(proc)
			if (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("AllowBBR = %v, want %q", err, tt.err)
			}
			if got, err := os.ReadFile(allowed); err != nil || string(got) != tt.want {
				t.Errorf("allowed are %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	if err := AllowBBR(t.TempDir()); err == nil || !strings.Contains(err.Error(), "mount") {
		t.Errorf("without /proc: %v", err)
	}
}
