package admission

import (
	"net/netip"
	"testing"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	source := func(n int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}), 32)
	}
	var o Origins
	for i, step := range []struct {
		from int
		want bool
	}{
		{1, false}, // nothing was known before
		{1, false},
		{2, true},
		{1, false},
		{2, false},
	} {
		if got := o.New(source(step.from)); got != step.want {
			t.Errorf("step %d: source %d is new: %v, want %v", i, step.from, got, step.want)
		}
	}
	for n := range maxOrigins - 1 {
		o.New(source(1000 + n)) // 1 is forgotten, 2 was used later
	}
	if o.New(source(2)) {
		t.Error("the source that was used last is forgotten first")
	}
	if !o.New(source(1)) {
		t.Errorf("more than %d sources are remembered", maxOrigins)
	}
	if n := len(o.newestLast); n != maxOrigins {
		t.Errorf("%d sources are remembered, want %d", n, maxOrigins)
	}
}
