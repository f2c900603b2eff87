package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// usualWidth is taken for the columns of a terminal that does not say.
const usualWidth = 80

// Output is the standard output of a command. It remembers the first error, such as a disk that is full: who prints many lines checks
// once, at the end.
type Output struct {
	w io.Writer

	mu  sync.Mutex
	err error
}

// NewOutput writes to w.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

// Write fails from the first error on.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("print: %w", err)
	}
	return n, err
}

// Err is the first error.
func (o *Output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Raw is what an Output writes to, and any other writer itself: for what handles errors by itself.
func Raw(w io.Writer) io.Writer {
	if o, ok := w.(*Output); ok {
		return o.w
	}
	return w
}

// Width asks for the columns of the terminal behind w; nil when there is none.
func Width(w io.Writer) func() int {
	f, ok := Raw(w).(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width < 1 {
			return usualWidth
		}
		return width
	}
}
