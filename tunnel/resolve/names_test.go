package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

func ips(of ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range of {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestName(t *testing.T) {
	t.Parallel()
	var n name
	for i, step := range []struct {
		found   []netip.Addr
		err     error
		changed bool
		want    []netip.Addr
	}{
		{nil, errors.New("no such host"), true, nil},
		{nil, errors.New("no such host"), false, nil},
		{ips("10.0.0.2", "::ffff:10.0.0.1"), nil, true, ips("10.0.0.1", "10.0.0.2")},
		{ips("10.0.0.1", "10.0.0.2"), nil, false, ips("10.0.0.1", "10.0.0.2")},
		{nil, errors.New("no answer"), false, ips("10.0.0.1", "10.0.0.2")},
		{nil, nil, false, ips("10.0.0.1", "10.0.0.2")},
		{ips("10.0.0.3"), nil, true, ips("10.0.0.1", "10.0.0.2", "10.0.0.3")},
		{ips("10.0.0.3", "10.0.0.2"), nil, false, ips("10.0.0.1", "10.0.0.2", "10.0.0.3")},
		{ips("10.0.0.3"), nil, true, ips("10.0.0.2", "10.0.0.3")},
		{ips("10.0.0.3"), nil, false, ips("10.0.0.2", "10.0.0.3")},
		{ips("10.0.0.3"), nil, true, ips("10.0.0.3")},
	} {
		if got := n.answer(step.found, step.err); got != step.changed || !slices.Equal(n.addresses(), step.want) {
			t.Errorf("step %d: changed %v, %v, want %v", i, got, n.addresses(), step.want)
		}
		if n.failed() != (step.want == nil) {
			t.Errorf("step %d: failed is %v", i, n.failed())
		}
	}
	var many []netip.Addr
	for i := range maxAddresses + 4 {
		many = append(many, netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}))
	}
	var big name
	big.answer(many, nil)
	if got := big.addresses(); !slices.Equal(got, many[:maxAddresses]) {
		t.Errorf("%v", got)
	}
}

// TestNames: a name is looked up at once and then again and again, as long as it is asked for.
func TestNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // lookups and changes are calls of goroutines
		locked := func(do func()) {
			mu.Lock()
			defer mu.Unlock()
			do()
		}
		answer := ips("10.0.0.1", "10.0.0.2")
		lookups, changes := 0, 0
		var n *Names
		asked := []string{"b.example:443", "10.0.0.9:443", "[fd00::1]:443", ":443", "unknown.example:443"}
		var each []string
		n = New(func(_ context.Context, host string) (found []netip.Addr, err error) {
			locked(func() {
				if found = slices.Clone(answer); host == "b.example" {
					lookups++
				} else {
					found, err = nil, fmt.Errorf("no such host: %s", host)
				}
			})
			return found, err
		}, func() {
			locked(func() {
				changes++
				each = n.Each(asked)
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n.Run(ctx)
		}()
		if got, want := n.Each(asked), []string{"10.0.0.9:443", ":443", "[fd00::1]:443"}; !slices.Equal(got, want) {
			t.Errorf("before the first answer: %v", got)
		}
		synctest.Wait()
		want := []string{"10.0.0.1:443", "10.0.0.2:443", "10.0.0.9:443", ":443", "[fd00::1]:443", "unknown.example:443"}
		locked(func() {
			if got := n.Each(asked); !slices.Equal(got, want) || !slices.Equal(each, want) || lookups != 1 {
				t.Errorf("%v, %v after %d lookups", got, each, lookups)
			}
			answer = ips("10.0.0.1", "10.0.0.7")
		})
		bubble.Pass(again + time.Second)
		locked(func() {
			if !slices.Contains(each, "10.0.0.7:443") || lookups != 2 {
				t.Errorf("a new address: %v after %d lookups", each, lookups)
			}
			asked = nil
		})
		bubble.Pass(2 * again)
		var was, wasChanges int
		locked(func() { was, wasChanges = lookups, changes })
		bubble.Pass(10 * again)
		locked(func() {
			if lookups != was || changes != wasChanges {
				t.Errorf("a name that is not asked for is looked up %d times", lookups-was)
			}
		})
		cancel()
		<-ended
	})
}
