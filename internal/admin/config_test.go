package admin

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	ready := func() error { return nil }
	tests := []struct {
		name string
		cfg  Config
		err  string // "" is valid
	}{
		{"zero value", Config{}, ""},
		{"loopback", Config{Address: "127.8.8.8:1"}, ""},
		{"loopback v6", Config{Address: "[::1]:1"}, ""},
		{"mapped loopback", Config{Address: "[::ffff:127.0.0.1]:1"}, ""},
		{"localhost", Config{Address: "localhost:0"}, ""},
		{"all addresses", Config{Address: ":15000"}, "not a loopback address"},
		{"all addresses, spelled out", Config{Address: "0.0.0.0:15000"}, "not a loopback address"},
		{"all v6 addresses", Config{Address: "[::]:15000"}, "not a loopback address"},
		{"remote", Config{Address: "10.0.0.1:15000"}, "not a loopback address"},
		{"a name", Config{Address: "localhost.example:15000"}, "not a loopback address"},
		{"remote, allowed", Config{Address: "10.0.0.1:15000", AllowRemote: true}, ""},
		{"all, allowed", Config{Address: ":15000", AllowRemote: true}, ""},
		{"no port", Config{Address: "127.0.0.1"}, "Address: \"127.0.0.1\" is not HOST:PORT"},
		{"empty port", Config{Address: "127.0.0.1:"}, "the port is missing"},
		{"check", Config{Checks: []Check{{Name: "a", Ready: ready}}}, ""},
		{"check without name", Config{Checks: []Check{{Name: "a", Ready: ready}, {Ready: ready}}}, "Checks[1]"},
		{"check without func", Config{Checks: []Check{{Name: "a"}}}, "Checks[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.cfg.Validate()
			switch {
			case tt.err == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

func FuzzHostname(f *testing.F) {
	for _, seed := range []string{
		"", "localhost", "127.0.0.1:1", "[::1]", "[::1]:1", "::1", "]", "a:b:c", "127.0.0.1%lo:1", "[[::1]]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !isLoopback(hostname(host)) {
			return
		}
		// Nothing that some other reader could take for another host is let through.
		if rest := strings.Trim(strings.TrimPrefix(host, "localhost"), "0123456789abcdefABCDEF.:[]"); rest != "" {
			t.Errorf("%q passes for a loopback host", host)
		}
	})
}
