package hashtrie

import (
	"cmp"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// check that a Map has what a map of Go's has, by every method.
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

// TestHashes chooses the hashes: some keys share a hash, others all of it but a few bits anywhere, so that leaves are split all the
// way down, and leaves meet nodes that are split.
func TestHashes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const keys = 160
	prefixes := []uint64{0, ^uint64(0), 0x1234567812345678, 0x1234567812345670, 0xf234567812345678}
	hashes := make([]uint64, keys)
	for k := range hashes {
		hashes[k] = prefixes[random.IntN(len(prefixes))]
		if random.IntN(2) == 0 {
			hashes[k] ^= uint64(random.IntN(width)) << (bits * random.IntN(levels))
		}
	}
	type version struct {
		is   *node[int, int]
		want map[int]int
	}
	versions := []version{{nil, map[int]int{}}}
	for range 100 {
		from := versions[random.IntN(len(versions))]
		next := version{from.is, maps.Clone(from.want)}
		for range random.IntN(80) {
			k := random.IntN(keys)
			if _, known := next.want[k]; known && random.IntN(2) == 0 {
				next.is = next.is.without(0, hashes[k], k)
				delete(next.want, k)
			} else if v := random.IntN(3); !known || next.want[k] != v {
				next.is = next.is.with(0, entry[int, int]{hashes[k], k, v})
				next.want[k] = v
			}
		}
		versions = append(versions, next)
		var entries []entry[int, int]
		for k, v := range next.want {
			entries = append(entries, entry[int, int]{hashes[k], k, v})
		}
		slices.SortFunc(entries, func(a, b entry[int, int]) int { return cmp.Compare(a.hash, b.hash) })
		versions = append(versions, version{build(0, entries), next.want})
	}
	for i, v := range versions {
		for k := range keys {
			got, ok := v.is.lookup(0, hashes[k], k)
			if want, known := v.want[k]; got != want || ok != known {
				t.Fatalf("version %d has %d, %t for key %d instead of %d, %t", i, got, ok, k, want, known)
			}
		}
		for range 20 {
			other := versions[random.IntN(len(versions))]
			var got []int
			differing(v.is, other.is, 0, func(k int) bool {
				got = append(got, k)
				return true
			})
			slices.Sort(got)
			if want := differs(v.want, other.want); !slices.Equal(got, want) {
				t.Fatalf("version %d differs in %v instead of %v", i, got, want)
			}
		}
	}
}

// TestStop: an iteration ends where the caller breaks.
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

// TestShare: of what two versions share, nothing is compared. Two slices in interfaces would panic if they were.
func TestShare(t *testing.T) {
	const changed = 7
	top := func(k int) uint64 { return slot(0, maphash.Comparable(seed, k)) }
	m := Map[int, any]{}
	for k := range 10_000 {
		var v any = []int{k}
		if top(k) == top(changed) {
			v = k
		}
		m = m.With(k, v)
	}
	if got := slices.Collect(Differing(m, m.With(changed, "other"))); !slices.Equal(got, []int{changed}) {
		t.Errorf("%v differ", got)
	}
	if got := slices.Collect(Differing(m.Without(changed), m)); !slices.Equal(got, []int{changed}) {
		t.Errorf("%v differ", got)
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
