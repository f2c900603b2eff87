package file

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// Where descriptors run out, the error is about that, not about a file, and names the remedy.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]bool{syscall.EMFILE: true, syscall.ENFILE: true, syscall.EACCES: false} {
		err := fewDescriptors(&fs.PathError{Op: "open", Path: "shop.yaml", Err: errno})
		if got := strings.Contains(err.Error(), "raise the limit of open files"); got != want || !errors.Is(err, errno) {
			t.Errorf("%v", err)
		}
	}
}
