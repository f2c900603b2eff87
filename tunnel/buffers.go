package tunnel

import (
	"sync"

	"github.com/eastway/eastway/tunnel/wire"
)

// dataBuffers hold one write to a lane each: headers and payload leave together.
type dataBuffers struct{ pool sync.Pool }

func (d *dataBuffers) get() *[wire.WriteSize]byte {
	if b, ok := d.pool.Get().(*[wire.WriteSize]byte); ok {
		return b
	}
	return new([wire.WriteSize]byte)
}

func (d *dataBuffers) put(b *[wire.WriteSize]byte) { d.pool.Put(b) }
