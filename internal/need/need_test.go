package need_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asked is a test that remembers how it ended.
type asked struct {
	testing.TB
	failed, skipped string
}

func (*asked) Helper()          {}
func (a *asked) Fatal(v ...any) { a.failed = v[0].(string); panic(a) }
func (a *asked) Skip(v ...any)  { a.skipped = v[0].(string); panic(a) }

func ask(t *testing.T, what func(testing.TB)) *asked {
	t.Helper()
	a := &asked{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(a) {
				panic(p)
			}
		}()
		what(a)
	}()
	return a
}

func TestNothingIsSkippedInCI(t *testing.T) {
	for name, want := range map[string]struct {
		what func(testing.TB)
		says string
	}{
		"a program":          {func(t testing.TB) { need.Program(t, "no-such-program", "some-package") }, "apt-get install some-package"},
		"support":            {func(t testing.TB) { need.Support(t, errors.New("load the module tun")) }, "load the module tun"},
		"what is there":      {func(t testing.TB) { need.Program(t, "sh", "dash") }, ""},
		"nothing to support": {func(t testing.TB) { need.Support(t, nil) }, ""},
	} {
		t.Setenv("CI", "true")
		if a := ask(t, want.what); !strings.Contains(a.failed, want.says) || (a.failed == "") != (want.says == "") || a.skipped != "" {
			t.Errorf("%s in CI: failed with %q, skipped with %q", name, a.failed, a.skipped)
		}
		t.Setenv("CI", "")
		if a := ask(t, want.what); !strings.Contains(a.skipped, want.says) || (a.skipped == "") != (want.says == "") || a.failed != "" {
			t.Errorf("%s elsewhere: failed with %q, skipped with %q", name, a.failed, a.skipped)
		}
	}
}
