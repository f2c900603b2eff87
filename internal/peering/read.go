package peering

import (
	"fmt"
	"io"
	"os"

	"github.com/eastway/eastway/internal/atomicfile"
)

// ReadText reads the text of a manifest from a file, or from stdin if the path is "-". A file that is not there is fs.ErrNotExist.
func ReadText(stdin io.Reader, path string) ([]byte, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, atomicfile.Explain(err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > MaxManifest:
		return nil, fmt.Errorf("larger than %d bytes", MaxManifest)
	}
	return data, nil
}
