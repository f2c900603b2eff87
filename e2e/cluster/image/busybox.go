package image

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Busybox returns the files of a shell and small programs for tests: the
// statically linked busybox of this computer below /bin, by all its names.
func Busybox(ctx context.Context) ([]File, error) {
	program, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("image: find busybox (apt-get install busybox-static): %w", err)
	}
	names, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("image: ask busybox for the programs that it is: %w", err)
	}
	files := []File{{Path: "/bin/busybox", Source: program}}
	for name := range strings.FieldsSeq(string(names)) {
		if name != "busybox" {
			files = append(files, File{Path: "/bin/" + name, Link: "busybox"})
		}
	}
	return files, nil
}
