package charts

import (
	"context"
	"os"
	"path/filepath"

	"github.com/eastway/eastway/e2e/cluster/binaries"
)

// findHelm takes the one that the clusters of e2e are installed with.
func findHelm(ctx context.Context) (string, error) {
	folder, err := binaries.Builder{Progress: os.Stderr}.Programs(ctx, binaries.Helm)
	return filepath.Join(folder, "helm"), err
}
