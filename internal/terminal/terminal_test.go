package terminal

import (
	"bytes"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:                          "0s",
		0:                                     "0s",
		59*time.Second + 999*time.Millisecond: "59s",
		time.Minute:                           "1m0s",
		time.Hour - time.Second:               "59m59s",
		5*time.Hour + 3*time.Minute + time.Second: "5h3m",
		24 * time.Hour:                "1d0h",
		55*time.Hour + 59*time.Minute: "2d7h",
	} {
		if got := Age(d); got != want {
			t.Errorf("Age(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestRTT(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                          "-",
		40 * time.Microsecond:      "0.04ms",
		352 * time.Microsecond:     "0.35ms",
		12 * time.Millisecond:      "12.0ms",
		102_340 * time.Microsecond: "102.3ms",
	} {
		if got := RTT(d); got != want {
			t.Errorf("RTT(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestLoss(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sent, lost uint64
		want       string
	}{{0, 0, "-"}, {1000, 0, "0.00"}, {1000, 1, "0.10"}, {3, 3, "100.00"}}
	for _, tt := range tests {
		if got := Loss(tt.sent, tt.lost); got != tt.want {
			t.Errorf("Loss(%d, %d) = %q, want %q", tt.sent, tt.lost, got, tt.want)
		}
	}
}

// Words that a peer chose cannot move the cursor or forge rows.
func TestTableIsSafeForTerminals(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	rows := [][]string{{"\x1b[2Jevil\nforged\trow\u202e", ""}, {"ok ünï", "x"}}
	if err := Table(&b, []string{"A", "B"}, rows); err != nil {
		t.Fatal(err)
	}
	want := "A                     B\n?[2Jevil?forged?row?  -\nok ünï                x\n"
	if b.String() != want {
		t.Errorf("got:\n%q\nwant:\n%q", b.String(), want)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                      "",
		"no such peer\n\thint":  "no such peer\n\thint",
		"a\x1b[2Jb\r\u009bc":    "a?[2Jb??c",
		"\u202eb\u2028c":        "?b?c",
		"123456789012345678901": "12345678901234567890…",
		"1234567890123456789ü":  "1234567890123456789…",
	} {
		if got := Lines(text, 20); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "",
		"one two\nthree":            "one two\nthree",
		"one\ntwo three four":       "one two\nthree four",
		"äöü äöüä\nx":               "äöü äöüä x",
		"a\n\nb":                    "a\n\nb",
		"list:\n  0  as it is\nand": "list:\n  0  as it is\nand",
		"averyveryverylongword x":   "averyveryverylongword\nx",
	} {
		if got := Wrap(text, 10); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
