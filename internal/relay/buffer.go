package relay

import "sync"

//nolint:gochecknoglobals // pools of memory; nobody can see what others did with it
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// buffer is what one direction reads into. It takes memory from a pool when
// asked and gives it back with release; its size follows what it is used for.
type buffer struct {
	small *[smallBuffer]byte
	large *[largeBuffer]byte
	grown bool
}

// acquire returns the memory to read into, the same until release.
func (b *buffer) acquire() []byte {
	switch {
	case b.large != nil:
		return b.large[:]
	case b.small != nil:
		return b.small[:]
	case b.grown:
		b.large, _ = largeBuffers.Get().(*[largeBuffer]byte)
		return b.large[:]
	default:
		b.small, _ = smallBuffers.Get().(*[smallBuffer]byte)
		return b.small[:]
	}
}

func (b *buffer) release() {
	if b.small != nil {
		smallBuffers.Put(b.small)
		b.small = nil
	}
	if b.large != nil {
		largeBuffers.Put(b.large)
		b.large = nil
	}
}

// used says how much the last read filled: a full buffer asks for larger ones,
// one that a small one could have held for small ones again.
func (b *buffer) used(n int) {
	b.grown = n >= smallBuffer
}
