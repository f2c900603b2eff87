package dial

import "sync/atomic"

// gate decides, once and for all, whether bytes of the application may go
// into one attempt before it is answered. The first of two wins:
// the pump, which commits the attempt to the bytes, or the race, which closes it to them. So bytes never
// go to two candidates, and an attempt that got bytes is never abandoned for another.
type gate struct{ state atomic.Int32 }

const (
	gateOpen int32 = iota
	gateCommitted
	gateClosed
)

// commit comes before the first byte; true: it may be sent, and all after it.
func (g *gate) commit() bool {
	return g.state.CompareAndSwap(gateOpen, gateCommitted) || g.state.Load() == gateCommitted
}

// close comes before another candidate is tried; false means that bytes are out.
func (g *gate) close() bool {
	return g.state.CompareAndSwap(gateOpen, gateClosed) || g.state.Load() == gateClosed
}
