package recent_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/recent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	s := recent.NewSet[string](2)
	for _, k := range []string{"a", "b", "c"} {
		s.Add(k)
	}
	fmt.Println(s.Take("a"), s.Take("c"), s.Take("c"))
	// Output: false true false
}

// TestSet: of any number of keys the newest are kept, each to be taken once.
func TestSet(t *testing.T) {
	t.Parallel()
	const most, n = 100, 307
	s := recent.NewSet[int](most)
	for i := range n {
		s.Add(i)
	}
	for i := range n {
		if got, want := s.Take(i), i >= n-most; got != want {
			t.Errorf("key %d: %v", i, got)
		}
		if s.Take(i) {
			t.Errorf("key %d is there twice", i)
		}
	}
}
