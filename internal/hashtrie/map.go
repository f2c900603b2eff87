// Package hashtrie has an immutable map. A version that is made from another one shares with it what is the same: to make it,
// and to find out in what the two differ, costs what changed and not what they hold. Maps that were made apart share nothing,
// and are compared key by key.
package hashtrie

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"
)

const (
	bits  = 4 // of the hash, the highest first, for each level
	width = 1 << bits
	// levels below the root; leaves there cannot be split any more.
	levels = 64 / bits
	// maxLeaf is how many entries a leaf holds before it is split.
	maxLeaf = 16
)

//nolint:gochecknoglobals // versions are compared only within one process, by the same hashes
var seed = maphash.MakeSeed()

// Map is one version; it never changes. The zero Map is empty. Values are compared with ==.
type Map[K, V comparable] struct {
	root *node[K, V]
	size int
}

// node of the trie; nil is an empty one. It has either kids or entries, and at least one of them.
type node[K, V comparable] struct {
	kids    *[width]*node[K, V]
	entries []entry[K, V]
}

type entry[K, V comparable] struct {
	hash  uint64
	key   K
	value V
}

// Of is a Map of what m has.
func Of[K, V comparable](m map[K]V) Map[K, V] {
	entries := make([]entry[K, V], 0, len(m))
	for k, v := range m {
		entries = append(entries, entry[K, V]{maphash.Comparable(seed, k), k, v})
	}
	slices.SortFunc(entries, func(a, b entry[K, V]) int { return cmp.Compare(a.hash, b.hash) })
	return Map[K, V]{build(0, entries), len(entries)}
}

// build a node of entries that are sorted by their hashes.
func build[K, V comparable](depth int, entries []entry[K, V]) *node[K, V] {
	if len(entries) == 0 {
		return nil
	}
	if len(entries) <= maxLeaf || depth == levels {
		return &node[K, V]{entries: slices.Clone(entries)}
	}
	kids := new([width]*node[K, V])
	for len(entries) > 0 {
		at := slot(depth, entries[0].hash)
		end := slices.IndexFunc(entries, func(e entry[K, V]) bool { return slot(depth, e.hash) != at })
		if end < 0 {
			end = len(entries)
		}
		kids[at] = build(depth+1, entries[:end])
		entries = entries[end:]
	}
	return &node[K, V]{kids: kids}
}

// Len is the number of keys.
func (m Map[K, V]) Len() int { return m.size }

// Lookup is the value of a key; false when there is none.
func (m Map[K, V]) Lookup(k K) (V, bool) { return m.root.lookup(0, maphash.Comparable(seed, k), k) }

// Get is the value of a key, the zero value when there is none.
func (m Map[K, V]) Get(k K) V {
	v, _ := m.Lookup(k)
	return v
}

// With is the map with that value for the key.
func (m Map[K, V]) With(k K, v V) Map[K, V] {
	e := entry[K, V]{maphash.Comparable(seed, k), k, v}
	had, known := m.root.lookup(0, e.hash, k)
	switch {
	case !known:
		m.size++
	case had == v:
		return m
	}
	m.root = m.root.with(0, e)
	return m
}

// Without is the map without the key.
func (m Map[K, V]) Without(k K) Map[K, V] {
	hash := maphash.Comparable(seed, k)
	if _, known := m.root.lookup(0, hash, k); !known {
		return m
	}
	m.root = m.root.without(0, hash, k)
	m.size--
	return m
}

// All are the keys and values, in no order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		m.root.all(func(e *entry[K, V]) bool { return yield(e.key, e.value) })
	}
}

// Differing are the keys of which two maps do not have the same, in no order.
func Differing[K, V comparable](a, b Map[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) { differing(a.root, b.root, 0, yield) }
}

// Equal reports whether two maps have the same.
func Equal[K, V comparable](a, b Map[K, V]) bool {
	if a.size != b.size {
		return false
	}
	for range Differing(a, b) {
		return false
	}
	return true
}

func (n *node[K, V]) lookup(depth int, hash uint64, k K) (V, bool) {
	for ; n != nil && n.kids != nil; depth++ {
		n = n.kids[slot(depth, hash)]
	}
	if n != nil {
		if i := n.index(hash, k); i >= 0 {
			return n.entries[i].value, true
		}
	}
	var none V
	return none, false
}

// index of a leaf's entry; -1 when it has none of that key.
func (n *node[K, V]) index(hash uint64, k K) int {
	return slices.IndexFunc(n.entries, func(e entry[K, V]) bool { return e.hash == hash && e.key == k })
}

func slot(depth int, hash uint64) uint64 { return hash >> ((levels - 1 - depth) * bits) % width }

// with is the node with an entry, which is another one than it has.
func (n *node[K, V]) with(depth int, e entry[K, V]) *node[K, V] {
	switch {
	case n == nil:
		return &node[K, V]{entries: []entry[K, V]{e}}
	case n.kids != nil:
		kids := *n.kids
		kids[slot(depth, e.hash)] = kids[slot(depth, e.hash)].with(depth+1, e)
		return &node[K, V]{kids: &kids}
	}
	if i := n.index(e.hash, e.key); i >= 0 {
		entries := slices.Clone(n.entries)
		entries[i] = e
		return &node[K, V]{entries: entries}
	}
	entries := make([]entry[K, V], 0, len(n.entries)+1)
	entries = append(append(entries, n.entries...), e)
	if len(entries) <= maxLeaf || depth == levels {
		return &node[K, V]{entries: entries}
	}
	kids := new([width]*node[K, V])
	for _, e := range entries {
		kid := &kids[slot(depth, e.hash)]
		*kid = (*kid).with(depth+1, e)
	}
	return &node[K, V]{kids: kids}
}

// without is the node without an entry that it has.
func (n *node[K, V]) without(depth int, hash uint64, k K) *node[K, V] {
	if n.kids != nil {
		kids := *n.kids
		at := slot(depth, hash)
		kids[at] = kids[at].without(depth+1, hash, k)
		if kids == [width]*node[K, V]{} {
			return nil
		}
		return &node[K, V]{kids: &kids}
	}
	if len(n.entries) == 1 {
		return nil
	}
	i := n.index(hash, k)
	return &node[K, V]{entries: slices.Concat(n.entries[:i], n.entries[i+1:])}
}

// all is false when yield was.
func (n *node[K, V]) all(yield func(*entry[K, V]) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.entries {
		if !yield(&n.entries[i]) {
			return false
		}
	}
	if n.kids != nil {
		for _, kid := range n.kids {
			if !kid.all(yield) {
				return false
			}
		}
	}
	return true
}

// differing yields the keys of which two nodes in the same place do not have the same; false when yield was.
func differing[K, V comparable](a, b *node[K, V], depth int, yield func(K) bool) bool {
	switch {
	case a == b:
		return true
	case a != nil && b != nil && a.kids != nil && b.kids != nil:
		for i := range width {
			if !differing(a.kids[i], b.kids[i], depth+1, yield) {
				return false
			}
		}
		return true
	}
	return a.all(func(e *entry[K, V]) bool {
		v, known := b.lookup(depth, e.hash, e.key)
		return known && v == e.value || yield(e.key)
	}) && b.all(func(e *entry[K, V]) bool {
		_, known := a.lookup(depth, e.hash, e.key)
		return known || yield(e.key)
	})
}
