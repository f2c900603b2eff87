package sniff

import (
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Protocol{
		"":                               Undecided,
		"G":                              Undecided,
		"GET":                            Undecided,
		"GET ":                           Undecided,
		"GET /":                          HTTP1,
		"OPTIONS * HTTP/1.1":             HTTP1,
		"GET http://a/ HTTP/1.1":         HTTP1,
		"VERSION-CONTROL /":              HTTP1,
		"GET x":                          NotHTTP,
		"CONNECT a:1":                    HTTP1,
		"CONNECT":                        Undecided,
		"connect a:1":                    NotHTTP,
		"get /":                          NotHTTP,
		"get key\r\n":                    NotHTTP,
		"PING\r\n":                       NotHTTP,
		"SET a b":                        NotHTTP,
		"*1\r\n$4\r\nPING\r\n":           NotHTTP,
		" GET /":                         NotHTTP,
		"\x16\x03\x01":                   NotHTTP,
		"\x00":                           NotHTTP,
		strings.Repeat("A", MaxMethod):   Undecided,
		strings.Repeat("A", MaxMethod+1): NotHTTP,
		"PRI":                            Undecided,
		"PRI ":                           Undecided,
		"PRI * HTTP/2.0\r\n\r\n":         Undecided,
		preface:                          HTTP2,
		preface + "\x00":                 HTTP2,
		"PRI * HTTP/1.1\r\n\r\n":         HTTP1,
		"EHLO mail\r\n":                  NotHTTP,
		"SSH-2.0-x\r\n":                  NotHTTP,
	} {
		if got := Of([]byte(text)); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// FuzzSniff: it decides within Max bytes, and a decision stays.
func FuzzSniff(f *testing.F) {
	f.Add("GET / HTTP/1.1")
	f.Add(preface)
	f.Add("PRI * HTTP/1.1")
	f.Fuzz(func(t *testing.T, text string) {
		decided := Undecided
		for n := range len(text) + 1 {
			p := Of([]byte(text[:n]))
			if decided != Undecided && p != decided {
				t.Fatalf("%q: %v, then %v", text[:n], decided, p)
			}
			if decided = p; p == Undecided && n > Max {
				t.Fatalf("%q is Undecided", text[:n])
			}
		}
	})
}
