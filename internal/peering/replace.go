package peering

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/eastway/eastway/internal/atomicfile"
	"github.com/eastway/eastway/internal/manifest"
)

// Replaceable returns why the file at path, if there is one, must not be replaced by the manifest of the Peer of that name: it
// would be more than the Peer that is lost.
func Replaceable(path, name string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return atomicfile.Explain(err)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return fmt.Errorf("%s is a symbolic link to %s, and import would put a file in its place: change that file, or remove the link",
			path, target)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return atomicfile.Explain(err)
	}
	var others []string
	for _, o := range manifest.Read(path, data) {
		if o.ID.Kind != Kind || o.ID.Name != name && o.ID.Name != "" {
			others = append(others, titleOf(o))
		}
	}
	if len(others) == 0 {
		return nil
	}
	const shown = 5
	if more := len(others) - shown; more > 0 {
		others = append(others[:shown], fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("%s holds other objects, which import would overwrite: %s: move them to another file, or remove this one",
		path, strings.Join(others, ", "))
}

// titleOf names an object of a file.
func titleOf(o *manifest.Object) string {
	if o.ID.Kind == "" {
		return fmt.Sprintf("document %d, whose kind cannot be read", o.Document)
	}
	name := o.ID.Name
	if o.ID.Namespace != "" {
		name = o.ID.Namespace + "/" + name
	}
	return fmt.Sprintf("%.60s %.120s", o.ID.Kind, name)
}
