package access

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/bubble"
)

func open(t *testing.T, c FileConfig) *File {
	t.Helper()
	f, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// A flood of connections writes no more lines than the rate; what is left out is counted, logged and shown.
func TestRateIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, events := observer.New(zapcore.InfoLevel)
		var out bytes.Buffer
		f := open(t, FileConfig{Name: "-", Stdout: &out, Rate: 100, Log: zap.New(core)})
		line := Entry{Started: time.Now(), Direction: Inbound, Service: UnknownService}
		for range 10 { // 10,000 in ten seconds
			for range 1000 {
				line.Write(f.Logger())
			}
			bubble.Pass(time.Second)
		}
		written := strings.Count(out.String(), "\n")
		if written != burstSeconds*100+9*100 {
			t.Errorf("%d lines are written", written)
		}
		if n := testutil.ToFloat64(f.omitted); int(n)+written != 10_000 {
			t.Errorf("%v lines are counted as left out of 10,000, %d are written", n, written)
		}
		if events.Len() != 1 {
			t.Errorf("logged %v", events.All())
		}
		if p := f.Problems(); len(p) != 1 || !strings.Contains(p[0], "8900 lines were left out, at most 100 are written per second (last 1s ago)") {
			t.Errorf("problems %q", p)
		}
		bubble.Pass(time.Hour)
		out.Reset()
		line.Write(f.Logger())
		if out.Len() == 0 || len(f.Problems()) != 0 {
			t.Errorf("an hour later: %q, problems %q", out.String(), f.Problems())
		}
	})
}

func TestAllLinesWithoutRate(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := open(t, FileConfig{Name: "-", Stdout: &out})
	for range 3 * DefaultRate {
		if _, err := f.Write([]byte("x\n")); err != nil {
			t.Fatal(err)
		}
	}
	if out.Len() != 6*DefaultRate {
		t.Errorf("%d bytes", out.Len())
	}
}

type full struct{ io.Writer }

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestLostLinesAreShown(t *testing.T) {
	t.Parallel()
	f := open(t, FileConfig{Name: "-", Stdout: full{}})
	for range 3 {
		if n, err := f.Write([]byte("line\n")); n != 5 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if p := f.Problems(); testutil.ToFloat64(f.lost) != 3 || len(p) != 1 || !strings.Contains(p[0], "3 lines could not be written") ||
		!strings.Contains(p[0], "disk full") {
		t.Errorf("problems %q", p)
	}
}

func TestFileConfig(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]FileConfig{
		"Rate": {Rate: -1}, "Stdout": {Name: "-"}, "--access-log": {Name: filepath.Join(t.TempDir(), "none", "access.log")},
	} {
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	open(t, FileConfig{}).Logger().Info("nothing")
}

// After a rotation lines go to a new file of the same name; one that cannot be opened leaves the old one in use, and is shown.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "access.log")
	f := open(t, FileConfig{Name: name})
	put := func(line string) {
		t.Helper()
		if _, err := f.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(name, want string) {
		t.Helper()
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	put("1\n")
	move(name, name+".1")
	put("2\n")
	f.Reopen()
	put("3\n")
	holds(name+".1", "1\n2\n")
	holds(name, "3\n")

	move(dir, dir+".away")
	f.Reopen()
	put("4\n")
	holds(filepath.Join(dir+".away", "access.log"), "3\n4\n")
	if p := f.Problems(); len(p) != 1 || !strings.Contains(p[0], "cannot be reopened") || !strings.Contains(p[0], name) {
		t.Errorf("problems %q", p)
	}
	move(dir+".away", dir)
	f.Reopen()
	put("5\n")
	holds(name, "3\n4\n5\n")
	if p := f.Problems(); len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

// A FIFO whose reader is missing, or goes away, must not stop a proxy: it is refused at the start, and later the old file goes on.
func TestFIFOIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, name := filepath.Join(dir, "fifo"), filepath.Join(dir, "access.log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := "neither a regular file nor a character device"
	if _, err := Open(FileConfig{Name: fifo}); err == nil || !strings.Contains(err.Error(), refused) || !strings.Contains(err.Error(), fifo) {
		t.Errorf("a FIFO: %v", err)
	}
	core, events := observer.New(zapcore.ErrorLevel)
	f := open(t, FileConfig{Name: name, Log: zap.New(core)})
	old := filepath.Join(dir, "access.log.1")
	if err := errors.Join(os.Rename(name, old), os.Rename(fifo, name)); err != nil {
		t.Fatal(err)
	}
	f.Reopen()
	if _, err := f.Write([]byte("x\n")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(old); err != nil || string(got) != "x\n" {
		t.Errorf("the old file has %q, %v", got, err)
	}
	if p := f.Problems(); events.Len() != 1 || len(p) != 1 || !strings.Contains(p[0], refused) {
		t.Errorf("logged %v, problems %q", events.All(), p)
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	for _, name := range []string{os.DevNull, "/dev/stdout", "/dev/stderr"} { // a test's own are pipes, or what the caller has
		if name != os.DevNull {
			if probe, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0); err != nil {
				t.Logf("no test without %s: %v", name, err)
				continue
			} else if err := probe.Close(); err != nil {
				t.Fatal(err)
			}
		}
		open(t, FileConfig{Name: name}).Logger()
	}
}

func TestReopenWithoutAFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := open(t, FileConfig{Name: "-", Stdout: &out})
	f.Reopen()
	if _, err := f.Write([]byte("x\n")); err != nil || out.String() != "x\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	open(t, FileConfig{}).Reopen()
}
