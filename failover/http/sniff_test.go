package http

import (
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]protocol{
		"":                               undecided,
		"G":                              undecided,
		"GET":                            undecided,
		"GET ":                           undecided,
		"GET /":                          http1,
		"OPTIONS * HTTP/1.1":             http1,
		"GET http://a/ HTTP/1.1":         http1,
		"VERSION-CONTROL /":              http1,
		"GET x":                          notHTTP,
		"CONNECT a:1":                    http1,
		"CONNECT":                        undecided,
		"connect a:1":                    notHTTP,
		"get /":                          notHTTP,
		"get key\r\n":                    notHTTP,
		"PING\r\n":                       notHTTP,
		"SET a b":                        notHTTP,
		"*1\r\n$4\r\nPING\r\n":           notHTTP,
		" GET /":                         notHTTP,
		"\x16\x03\x01":                   notHTTP,
		"\x00":                           notHTTP,
		strings.Repeat("A", maxMethod):   undecided,
		strings.Repeat("A", maxMethod+1): notHTTP,
		"PRI":                            undecided,
		"PRI ":                           undecided,
		"PRI * HTTP/2.0\r\n\r\n":         undecided,
		preface:                          http2,
		preface + "\x00":                 http2,
		"PRI * HTTP/1.1\r\n\r\n":         http1,
		"EHLO mail\r\n":                  notHTTP,
		"SSH-2.0-x\r\n":                  notHTTP,
	} {
		if got := sniff([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// FuzzSniff: it decides within maxSniff bytes, and a decision stays.
func FuzzSniff(f *testing.F) {
	f.Add("GET / HTTP/1.1")
	f.Add(preface)
	f.Add("PRI * HTTP/1.1")
	f.Fuzz(func(t *testing.T, text string) {
		decided := undecided
		for n := range len(text) + 1 {
			p := sniff([]byte(text[:n]))
			if decided != undecided && p != decided {
				t.Fatalf("%q: %v, then %v", text[:n], decided, p)
			}
			if decided = p; p == undecided && n > maxSniff {
				t.Fatalf("%q is undecided", text[:n])
			}
		}
	})
}
