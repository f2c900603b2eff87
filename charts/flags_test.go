package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The processes have the flags that the chart gives them.
func TestFlagsExist(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "eastway")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/eastway").CombinedOutput(); err != nil {
		t.Fatalf("build eastway: %v\n%s", err, out)
	}
	for name, values := range valueSets() {
		r := render(t, values)
		for component, c := range r.containers() {
			command := c.Args[0]
			cmd := exec.CommandContext(t.Context(), binary, command, "--help")
			cmd.Env = append(os.Environ(), "NO_COLOR=1")
			help, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(help), "eastway "+command) {
				t.Errorf("%s: %s runs `eastway %s`, which does not exist: %v", name, component, command, err)
				continue
			}
			for flag, values := range flagsOf(c) {
				if strings.Contains(string(help), "--"+flag+" ") {
					continue
				}
				// It may be hidden.
				if out, err := exec.CommandContext(t.Context(), binary, command, "--"+flag+"="+values[0], "--help").CombinedOutput(); err != nil {
					t.Errorf("%s: `eastway %s` has no --%s: %s", name, command, flag, out)
				}
			}
		}
	}
}
