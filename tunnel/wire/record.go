package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"
)

// Type is a record's. Every stream of a connection is a sequence of records:
//
//	+------+-----------------+---------------------+
//	| type | length (3, BE)  | length bytes …      |
//	+------+-----------------+---------------------+
//
// The first stream of a connection holds control records only. Every other one starts, from its opener, with
// one open record; from its receiver with one answer record; then data records and at the very end one end
// record in each direction. A direction that stops without its end record was cut off. Streams opened for a
// channel carry message records instead of data.
type Type uint8

const (
	Control Type = 1 // tunnelpb.Control
	Open    Type = 2 // tunnelpb.Open
	Answer  Type = 3 // tunnelpb.Answer
	Data    Type = 4 // the application's bytes
	End     Type = 5 // no payload
	Message Type = 6 // one message of a channel
)

const (
	HeaderSize = 4
	// MaxData is the largest data record that is taken, in bytes: with its header and a frame's it fills four TLS records
	// exactly. Only a peer with LargeData takes more than SmallData.
	MaxData   = WriteSize - HeaderSize
	SmallData = 32 << 10
	// WriteSize is how much is written to a lane at a time, in bytes.
	WriteSize = 64<<10 - 12
	// MaxMessage bounds one message of a channel, in bytes.
	MaxMessage = 256 << 10
)

// ErrRecord is wrapped by every error about bytes that are not a valid record.
var ErrRecord = errors.New("tunnel: invalid record")

// limit is the longest payload taken for each type, in bytes; -1 for an unknown type.
func (t Type) limit() int {
	switch t {
	case Control, Open:
		return 16 << 10
	case Answer:
		return 4 << 10
	case Data:
		return MaxData
	case End:
		return 0
	case Message:
		return MaxMessage
	default:
		return -1
	}
}

// PutHeader writes the header of a record with n bytes of payload to the start of b.
func PutHeader(b []byte, t Type, n int) {
	binary.BigEndian.PutUint32(b, uint32(t)<<24|uint32(n)) // n ≤ MaxMessage < 1<<24
}

// ReadHeader reads one header and checks its length before any memory is spent on it.
func ReadHeader(r io.Reader) (Type, int, error) {
	var h [HeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	return ParseHeader(h)
}

// ParseHeader is the type of a record and the length of its payload.
func ParseHeader(h [HeaderSize]byte) (Type, int, error) {
	v := binary.BigEndian.Uint32(h[:])
	t, n := Type(v>>24), int(v&0xffffff)
	if n > t.limit() {
		return 0, 0, fmt.Errorf("%w: type %d with %d bytes", ErrRecord, t, n)
	}
	return t, n, nil
}

// Read reads one record of the wanted type and decodes it.
func Read(r io.Reader, want Type, m proto.Message) error {
	t, n, err := ReadHeader(r)
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%w: type %d where %d was expected", ErrRecord, t, want)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("%w: cut off: %w", ErrRecord, err)
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}

// Encode is m as one record of type t.
func Encode(t Type, m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, HeaderSize), m)
	if err != nil {
		return nil, fmt.Errorf("tunnel: encode record: %w", err)
	}
	n := len(b) - HeaderSize
	if n > t.limit() {
		return nil, fmt.Errorf("tunnel: record of type %d would have %d bytes, at most %d fit", t, n, t.limit())
	}
	PutHeader(b, t, n)
	return b, nil
}

// Write sends m as one record of type t.
func Write(w io.Writer, t Type, m proto.Message) error {
	b, err := Encode(t, m)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// AppendData appends as much of p as fits into b's capacity, in data records of at most limit bytes, and returns how much
// that was.
func AppendData(b, p []byte, limit int) (_ []byte, n int) {
	for n < len(p) && cap(b)-len(b) > HeaderSize {
		size := min(len(p)-n, limit, cap(b)-len(b)-HeaderSize)
		b = append(b, byte(Data), byte(size>>16), byte(size>>8), byte(size))
		b = append(b, p[n:n+size]...)
		n += size
	}
	return b, n
}

// Buffers hold one write to a lane each: headers and payload leave together. The zero value is ready to use.
type Buffers struct{ pool sync.Pool }

// Get returns one to write to; Put gives it back.
func (b *Buffers) Get() *[WriteSize]byte {
	if buf, ok := b.pool.Get().(*[WriteSize]byte); ok {
		return buf
	}
	return new([WriteSize]byte)
}

// Put gives back what Get returned.
func (b *Buffers) Put(buf *[WriteSize]byte) { b.pool.Put(buf) }
