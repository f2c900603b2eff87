package operand_test

import (
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/operand"
)

func TestClash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{":1", "127.0.0.1:1", true},
		{":1", ":1", true},
		{"[::]:1", "127.0.0.1:1", true},
		{"[::]:1", "0.0.0.0:1", true},
		{"0.0.0.0:1", "127.0.0.1:1", true},
		{"0.0.0.0:1", "[::1]:1", false},
		{"0.0.0.0:1", "localhost:1", true},
		{"localhost:1", "LOCALHOST:1", true},
		{"localhost:1", "127.0.0.1:1", false},
		{"[::ffff:127.0.0.1]:1", "127.0.0.1:1", true},
		{"[::1]:1", "[0:0::1]:1", true},
		{"", "127.0.0.1:1", false},
		{"", "", false},
	} {
		for _, pair := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			err := operand.Clash(operand.Listener{Flag: "--a", Address: pair[0]},
				operand.Listener{Flag: "--none"}, operand.Listener{Flag: "--b", Address: pair[1]})
			if (err != nil) != c.want || err != nil && !strings.HasPrefix(err.Error(), "--a and --b have") {
				t.Errorf("%q and %q: %v", pair[0], pair[1], err)
			}
		}
	}
}
