package clip

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                            "",
		"GET /ü: 503":                 "GET /ü: 503",
		"a\x1b[2Jb\r\nc\x7f":          "a [2Jb  c ",
		"a\u009b2Jb":                  "a 2Jb", // the same as ESC [, in one character
		"a\u202eb\u2028c":             "a b c", // turned around; another line
		"a\xffb":                      "a?b",   // not UTF-8
		strings.Repeat("x", Short):    strings.Repeat("x", Short),
		strings.Repeat("x", Short+1):  strings.Repeat("x", Short-3) + "…",
		strings.Repeat("ü", 1<<20):    strings.Repeat("ü", Short/2-2) + "…",
		"x" + strings.Repeat("ü", 99): "x" + strings.Repeat("ü", Short/2-2) + "…",
	} {
		if got := Name(text); got != want {
			t.Errorf("%.200q: %q, want %q", text, got, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	if err := Error(nil, 1); err != nil {
		t.Error(err)
	}
	if err := Error(io.EOF, Short); err != io.EOF { //nolint:errorlint // the very same
		t.Error(err)
	}
	err := Error(errors.Join(io.EOF, errors.New(strings.Repeat("x", 200))), 10)
	if !errors.Is(err, io.EOF) || err.Error() != "EOF xxx…" {
		t.Errorf("%q", err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("ü\xff\x1b", 2)
	f.Fuzz(func(t *testing.T, s string, most int) {
		if most < 0 || most > 1<<16 {
			return
		}
		got := Text(s, most)
		if len(got) > max(most, len(more))+3*strings.Count(s, "�") || strings.ContainsAny(got, "\x1b\n\u009b") {
			t.Errorf("%q clipped to %d: %q", s, most, got)
		}
		if again := Text(got, most); most >= len(more) && again != got {
			t.Errorf("%q clipped to %d again: %q", got, most, again)
		}
	})
}
