package main

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestMutationsApply: a mutation whose text is gone proves nothing any more.
func TestMutationsApply(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range slices.Concat(mutations(), httpMutations()) {
		if _, err := m.apply("../../..", t.TempDir()); err != nil {
			t.Error(err)
		}
		if names[m.name] {
			t.Errorf("%q is there twice", m.name)
		}
		names[m.name] = true
	}
}

func TestMinimize(t *testing.T) {
	t.Parallel()
	list := make([]int, 50)
	for i := range list {
		list[i] = i
	}
	got := minimize(list, func(l []int) bool { return slices.Contains(l, 7) && slices.Contains(l, 31) })
	if !slices.Equal(got, []int{7, 31}) {
		t.Errorf("minimized to %v", got)
	}
	if got := minimize(list, func([]int) bool { return true }); len(got) != 0 {
		t.Errorf("nothing is needed, minimized to %v", got)
	}
}
