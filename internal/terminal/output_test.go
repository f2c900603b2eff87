package terminal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/eastway/eastway/internal/terminal"
)

type full struct{ room int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

func TestOutputRemembersTheFirstError(t *testing.T) {
	t.Parallel()
	disk := &full{room: 4}
	out := terminal.NewOutput(disk)
	for _, text := range []string{"abc", "too long", "d"} {
		_, _ = io.WriteString(out, text)
	}
	if !errors.Is(out.Err(), errFull) || disk.room != 1 {
		t.Errorf("%v, room for %d", out.Err(), disk.room)
	}
	var b bytes.Buffer
	good := terminal.NewOutput(&b)
	fmt.Fprint(good, "abc")
	if good.Err() != nil || b.String() != "abc" || terminal.Raw(good) != io.Writer(&b) || terminal.Raw(&b) != io.Writer(&b) {
		t.Errorf("%v, %q", good.Err(), b.String())
	}
	if terminal.Width(good) != nil {
		t.Error("a buffer has a width")
	}
}
