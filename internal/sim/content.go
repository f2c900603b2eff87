package sim

import "encoding/binary"

// content is what one direction of a call carries: each byte follows from the call and its offset, so that a byte that is lost,
// added, changed or out of order shows wherever it is.
type content uint64

// Directions of a call.
const (
	toEndpoint = 1
	toCaller   = 2
)

func contentOf(call, direction int) content {
	return content(mix(uint64(call)<<2 | uint64(direction)))
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fill writes what begins at that offset.
func (c content) fill(b []byte, offset int64) {
	var word [8]byte
	for i := 0; i < len(b); {
		at := offset + int64(i)
		binary.LittleEndian.PutUint64(word[:], mix(uint64(c)^uint64(at/8)))
		i += copy(b[i:], word[at%8:])
	}
}

// wrong is the offset of the first byte of b that is not what begins at offset; below 0: all are.
func (c content) wrong(b []byte, offset int64) int64 {
	var word [8]byte
	for i := 0; i < len(b); {
		at := offset + int64(i)
		binary.LittleEndian.PutUint64(word[:], mix(uint64(c)^uint64(at/8)))
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
