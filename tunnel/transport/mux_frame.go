package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The frames on a TCP session are those of hashicorp/yamux (its spec.md): version, type, flags (2), stream (4),
// length (4), all big-endian. Only data frames are followed by length bytes.
const (
	frameHeader = 12
	// maxFrame makes a whole frame as long as four full TLS records.
	maxFrame = 64<<10 - frameHeader
	// initialWindow is what either side may send on a stream before it has heard of the other.
	initialWindow = 256 << 10
	// maxWindow is the largest window that is accepted.
	maxWindow = 1 << 31
	// maxStreamID is the largest ID that is used. Each side has every other ID.
	maxStreamID = math.MaxUint32 - 2
)

type frameType uint8

const (
	frameData   frameType = 0
	frameWindow frameType = 1 // length is what the sender may send more
	framePing   frameType = 2
	frameGoAway frameType = 3 // length is an error code
)

type frameFlags uint16

const (
	flagSYN frameFlags = 1 << iota // opens the stream
	flagACK                        // the stream was accepted
	flagFIN                        // no more is sent on it
	flagRST                        // it was refused
)

// frame is a frame's header.
type frame struct {
	kind   frameType
	flags  frameFlags
	stream uint32
	length uint32
}

func (f frame) append(b []byte) []byte {
	b = append(b, 0, byte(f.kind))
	b = binary.BigEndian.AppendUint16(b, uint16(f.flags))
	b = binary.BigEndian.AppendUint32(b, f.stream)
	return binary.BigEndian.AppendUint32(b, f.length)
}

var (
	errFrame  = errors.New("tunnel: invalid frame")
	errPing   = errors.New("tunnel: the peer sent a yamux ping, which this protocol does not use")
	errGoAway = errors.New("tunnel: the peer ended the session")
)

// parseFrame refuses what is no frame of this protocol. Pings are not: Eastway's own are control messages, and a peer
// that sends pings and does not read would cost memory without bound.
func parseFrame(b *[frameHeader]byte) (frame, error) {
	f := frame{
		kind:   frameType(b[1]),
		flags:  frameFlags(binary.BigEndian.Uint16(b[2:])),
		stream: binary.BigEndian.Uint32(b[4:]),
		length: binary.BigEndian.Uint32(b[8:]),
	}
	switch {
	case b[0] != 0:
		return f, fmt.Errorf("%w: version %d", errFrame, b[0])
	case f.kind == framePing:
		return f, errPing
	case f.kind == frameGoAway:
		return f, fmt.Errorf("%w with code %d", errGoAway, f.length)
	case f.kind > frameGoAway:
		return f, fmt.Errorf("%w: type %d", errFrame, f.kind)
	}
	return f, nil
}
