package shortage_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/shortage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleOf() {
	fmt.Println(shortage.Of(fmt.Errorf("accept: %w", syscall.EMFILE)))
	fmt.Println(shortage.Of(syscall.ECONNREFUSED) == "")
	// Output:
	// files
	// true
}

func TestOf(t *testing.T) {
	t.Parallel()
	for errno, want := range map[error]shortage.Resource{
		syscall.EADDRNOTAVAIL: shortage.Ports, syscall.EAGAIN: shortage.Ports, syscall.EMFILE: shortage.Files, syscall.ENFILE: shortage.Files,
		syscall.ENOBUFS: shortage.Memory, syscall.ENOMEM: shortage.Memory,
		syscall.EHOSTUNREACH: "", syscall.ENETUNREACH: "", syscall.ECONNREFUSED: "",
	} {
		err := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
		if got := shortage.Of(err); got != want {
			t.Errorf("%v: %q, want %q", errno, got, want)
		}
	}
	for _, r := range shortage.All() {
		if what, remedy := r.Text(); len(what) < 20 || len(remedy) < 20 || len(r.Reason()) < 20 {
			t.Errorf("%s: %q, %q, %q", r, what, remedy, r.Reason())
		}
	}
}

// What a listener cannot accept is one line in the log and one in status, and counts where all shortages do.
func TestAccepts(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	a, b := shortage.NewAccepts("tunnel port", zap.New(core), reg), shortage.NewAccepts("other", zap.NewNop(), reg)
	for range 3 {
		a.Failed(syscall.EMFILE)
		b.Failed(syscall.EMFILE)
	}
	if n := testutil.ToFloat64(shortage.Counter(reg).WithLabelValues("files")); n != 6 {
		t.Errorf("%v counted", n)
	}
	const what = "tunnel port: connections refused: this process has as many files open as it may"
	all := logs.All()
	if len(all) != 1 || all[0].Message != what || all[0].ContextMap()["remedy"] != shortage.MoreFiles {
		t.Errorf("the log has %v", all)
	}
	if p := a.Problems(time.Now()); len(p) != 1 || !strings.HasPrefix(p[0], what+" (3×") || !strings.HasSuffix(p[0], shortage.MoreFiles) {
		t.Errorf("status has %q", p)
	}
	for range 2 { // of no shortage
		a.Failed(errors.New("odd"))
	}
	if all := logs.FilterMessageSnippet("tunnel port: cannot accept").All(); len(all) != 1 || all[0].ContextMap()["error"] != "odd" {
		t.Errorf("the log has %v", all)
	}
}
