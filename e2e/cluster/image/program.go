package image

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"strings"
)

// Program returns the files that a program of this computer needs in order to run: itself, the libraries that it was linked
// with, and their loader, each where it is here.
func Program(ctx context.Context, program string) ([]File, error) {
	listed, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("image: ask ldd for the libraries of %s (is it linked dynamically?): %w", program, err)
	}
	libraries, err := parseLibraries(string(listed))
	if err != nil {
		return nil, fmt.Errorf("image: the libraries of %s: %w", program, err)
	}
	files := []File{{Path: program, Source: program}}
	for _, library := range libraries {
		files = append(files, File{Path: library, Source: library})
	}
	return files, nil
}

// parseLibraries reads what ldd prints, a line each: "NAME => PATH (ADDRESS)", "PATH (ADDRESS)" for the loader, "NAME (ADDRESS)"
// for what the kernel provides.
func parseLibraries(listed string) ([]string, error) {
	var paths []string
	for line := range strings.Lines(listed) {
		name, file, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found {
			file = name
		}
		file, _, _ = strings.Cut(file, " (")
		switch {
		case path.IsAbs(file):
			paths = append(paths, path.Clean(file))
		case found:
			return nil, fmt.Errorf("%s: %s", name, file)
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("ldd names none: %q", listed)
	}
	return paths, nil
}
