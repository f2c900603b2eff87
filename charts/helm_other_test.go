//go:build !linux

package charts

import (
	"context"
	"os/exec"
)

// findHelm takes the one that is installed: e2e/cluster builds for Linux only.
func findHelm(context.Context) (string, error) { return exec.LookPath("helm") }
