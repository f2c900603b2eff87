package operand_test

import (
	"testing"

	"github.com/eastway/eastway/internal/operand"
)

func TestPort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]operand.Port{"1": 1, "65535": 65535, "0": 0, "": 0, "http": 0, "-1": 0, "65536": 0} {
		var p operand.Port
		if err := p.Set(text); p != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, p, err)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]operand.Count{"1": 1, "65536": 65536, "0": 0, "": 0, "many": 0, "-1": 0} {
		var c operand.Count
		if err := c.Set(text); c != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, c, err)
		}
	}
}
