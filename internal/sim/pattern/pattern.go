// Package pattern has bytes of which each follows from where it belongs.
package pattern

import "encoding/binary"

// Content is what one direction of a call carries: each byte follows from the call and its offset, so that a byte that is lost,
// added, changed or out of order shows wherever it is.
type Content uint64

// Directions of a call.
const (
	ToEndpoint = 1
	ToCaller   = 2
)

// Of is that of a call and a direction.
func Of(call, direction int) Content {
	return Content(Mix(uint64(call)<<2 | uint64(direction)))
}

// Mix is the finalizer of splitmix64.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Fill writes what begins at that offset.
func (c Content) Fill(b []byte, offset int64) {
	var word [8]byte
	for i := 0; i < len(b); {
		at := offset + int64(i)
		binary.LittleEndian.PutUint64(word[:], Mix(uint64(c)^uint64(at/8)))
		i += copy(b[i:], word[at%8:])
	}
}

// Wrong is the offset of the first byte of b that is not what begins at offset; below 0: all are.
func (c Content) Wrong(b []byte, offset int64) int64 {
	var word [8]byte
	for i := 0; i < len(b); {
		at := offset + int64(i)
		binary.LittleEndian.PutUint64(word[:], Mix(uint64(c)^uint64(at/8)))
		for _, w := range word[at%8:] {
			if i == len(b) {
				break
			}
			if b[i] != w {
				return offset + int64(i)
			}
			i++
		}
	}
	return -1
}
