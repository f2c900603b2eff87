package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/eastway/eastway/internal/atomicfile"
)

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "state")
	fmt.Println(atomicfile.Write(path, []byte("one"), 0o600))
	fmt.Println(atomicfile.Write(path, []byte("two"), 0o600))
	fmt.Println(errors.Is(atomicfile.Create(path, []byte("three"), 0o600), fs.ErrExist))
	content, err := os.ReadFile(path)
	fmt.Println(string(content), err)
	// Output:
	// <nil>
	// <nil>
	// true
	// two <nil>
}
