package hashtrie

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// check that a Map has what a map of Go's has, in every way in which it can be asked.
func check(t *testing.T, m Map[int, int], want map[int]int) {
	t.Helper()
	if m.Len() != len(want) {
		t.Errorf("it has %d keys instead of %d", m.Len(), len(want))
	}
	if got := maps.Collect(m.All()); !maps.Equal(got, want) {
		t.Errorf("it has %v instead of %v", got, want)
	}
	for k, v := range want {
		if got, ok := m.Lookup(k); !ok || got != v || m.Get(k) != v {
			t.Errorf("key %d has %d, %t instead of %d", k, got, ok, v)
		}
	}
}

// differs lists by brute force what Differing should.
func differs(a, b map[int]int) []int {
	var keys []int
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			keys = append(keys, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// TestVersions makes many versions one after the other: none of them changes any more, and they differ in what they should.
func TestVersions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type version struct {
		is   Map[int, int]
		want map[int]int
	}
	versions := []version{{want: map[int]int{}}}
	for _, keys := range []int{5, 40, 3000} {
		for range 200 {
			last := versions[len(versions)-1]
			next := version{last.is, maps.Clone(last.want)}
			for range random.IntN(60) {
				k := random.IntN(keys)
				if random.IntN(3) == 0 {
					next.is = next.is.Without(k)
					delete(next.want, k)
				} else {
					v := random.IntN(4)
					next.is = next.is.With(k, v)
					next.want[k] = v
				}
			}
			versions = append(versions, next)
		}
	}
	for i, v := range versions {
		check(t, v.is, v.want)
		for _, other := range []version{versions[max(i-1, 0)], versions[random.IntN(len(versions))]} {
			got := slices.Sorted(Differing(v.is, other.is))
			if want := differs(v.want, other.want); !slices.Equal(got, want) {
				t.Fatalf("version %d differs in %v instead of %v", i, got, want)
			}
			if Equal(v.is, other.is) != maps.Equal(v.want, other.want) {
				t.Errorf("version %d: Equal is wrong", i)
			}
		}
	}
	last := versions[len(versions)-1]
	check(t, Of(last.want), last.want)
	for k := range last.want {
		last.is = last.is.Without(k)
	}
	if last.is != (Map[int, int]{}) {
		t.Error("something is left of a map without any key")
	}
}

// TestCollisions: keys whose hashes are the same all the way down are told apart all the same.
func TestCollisions(t *testing.T) {
	const hash, many = 0x1234, 3 * maxLeaf
	var n, half *node[int, int]
	for k := range many {
		n = n.with(0, entry[int, int]{hash, k, k})
		if k < many/2 {
			half = n
		}
	}
	for k := range many {
		if v, ok := n.lookup(0, hash, k); !ok || v != k {
			t.Errorf("key %d has %d, %t", k, v, ok)
		}
	}
	var keys []int
	differing(n, half, 0, func(k int) bool {
		keys = append(keys, k)
		return true
	})
	if len(keys) != many/2 {
		t.Errorf("%d keys differ instead of %d", len(keys), many/2)
	}
	for k := range many {
		n = n.without(0, hash, k)
	}
	if n != nil {
		t.Error("something is left")
	}
}

// TestStop: whoever has seen enough is shown no more.
func TestStop(t *testing.T) {
	m := Map[int, int]{}
	for k := range 1000 {
		m = m.With(k, k)
	}
	seen := 0
	for range m.All() {
		if seen++; seen == 7 {
			break
		}
	}
	for range Differing(m, Map[int, int]{}) {
		if seen++; seen == 20 {
			break
		}
	}
	for range Differing(Map[int, int]{}, m) {
		if seen++; seen == 40 {
			break
		}
	}
	if seen != 40 {
		t.Errorf("%d were seen instead of 40", seen)
	}
}

// TestShare: a version that differs in one key costs no more than the way to it, however much there is.
func TestShare(t *testing.T) {
	allocations := func(size int) float64 {
		m := Map[int, int]{}
		for k := range size {
			m = m.With(k, k)
		}
		return testing.AllocsPerRun(100, func() {
			for range Differing(m, m.With(size/2, -1)) {
			}
		})
	}
	small, large := allocations(100), allocations(100_000)
	if large > small+20 {
		t.Errorf("a change allocates %.0f times among 100,000 keys and %.0f times among 100", large, small)
	}
}

// BenchmarkChange is what one change costs, and finding it again, in a map that is copied and in one that is shared.
func BenchmarkChange(b *testing.B) {
	for _, size := range []int{1000, 10_000} {
		m := map[int]int{}
		for k := range size {
			m[k] = k
		}
		shared := Of(m)
		b.Run(strconv.Itoa(size)+"/copied", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				next := maps.Clone(m)
				next[i%size]--
				if len(differs(m, next)) != 1 {
					b.Fatal("not one key differs")
				}
			}
		})
		b.Run(strconv.Itoa(size)+"/shared", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if len(slices.Collect(Differing(shared, shared.With(i%size, -1)))) != 1 {
					b.Fatal("not one key differs")
				}
			}
		})
	}
}
