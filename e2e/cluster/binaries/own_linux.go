package binaries

import (
	"context"
	"fmt"
	"path/filepath"
)

// Own builds packages of the main module, given by their paths below it
// ("cmd/eastway"), into a folder. What has not changed comes out of Go's own cache.
func (b Builder) Own(ctx context.Context, folder string, packages ...string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	root, err := goOutput(ctx, ".", "list", "-m", "-f", "{{.Dir}}", own)
	if err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", folder + "/"}
	for _, one := range packages {
		args = append(args, "./"+filepath.ToSlash(one))
	}
	if output, err := goCommand(ctx, root, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("binaries: build %v: %w\n%s", packages, err, output)
	}
	return nil
}
