package relay

import "sync"

//nolint:gochecknoglobals // pools of memory without any state
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// buffer is what one direction reads into. acquire takes memory from a pool and
// release gives it back; its size follows what it is used for.
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

// used records how much the last read filled: after a full buffer the next one is large,
// after less than a small one holds it is small again.
func (b *buffer) used(n int) {
	b.grown = n >= smallBuffer
}
