package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"
)

// Every stream of a connection is a sequence of records:
//
//	+------+-----------------+---------------------+
//	| type | length (3, BE)  | length bytes …      |
//	+------+-----------------+---------------------+
//
// The first stream of a connection holds control records only. Every other one starts, from its opener, with
// one open record; from its receiver with one answer record; then data records and at the very end one end
// record in each direction. A direction that stops without its end record was cut off. Streams opened for a
// channel carry message records instead of data.
type recordType uint8

const (
	recordControl recordType = 1 // tunnelpb.Control
	recordOpen    recordType = 2 // tunnelpb.Open
	recordAnswer  recordType = 3 // tunnelpb.Answer
	recordData    recordType = 4 // the application's bytes
	recordEnd     recordType = 5 // no payload
	recordMessage recordType = 6 // one message of a channel
)

const (
	recordHeader = 4
	// maxData is the largest data record that is sent, in bytes; the receiver takes no larger one.
	maxData = 32 << 10
)

// errRecord is wrapped by every error about bytes that are not a valid record.
var errRecord = errors.New("tunnel: invalid record")

// limit is the longest payload taken for each type, in bytes; -1 for an unknown type.
func (t recordType) limit() int {
	switch t {
	case recordControl, recordOpen:
		return 16 << 10
	case recordAnswer:
		return 4 << 10
	case recordData:
		return maxData
	case recordEnd:
		return 0
	case recordMessage:
		return MaxMessage
	default:
		return -1
	}
}

func putRecordHeader(b []byte, t recordType, n int) {
	binary.BigEndian.PutUint32(b, uint32(t)<<24|uint32(n)) //nolint:gosec // n ≤ MaxMessage < 1<<24
}

// readRecordHeader reads one header and checks its length before any memory is spent on it.
func readRecordHeader(r io.Reader) (recordType, int, error) {
	var h [recordHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, 0, err
	}
	v := binary.BigEndian.Uint32(h[:])
	t, n := recordType(v>>24), int(v&0xffffff)
	if n > t.limit() {
		return 0, 0, fmt.Errorf("%w: type %d with %d bytes", errRecord, t, n)
	}
	return t, n, nil
}

// readMessage reads one record of the wanted type and decodes it.
func readMessage(r io.Reader, want recordType, m proto.Message) error {
	t, n, err := readRecordHeader(r)
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%w: type %d where %d was expected", errRecord, t, want)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("%w: cut off: %w", errRecord, err)
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

// encodeMessage is m as one record of type t.
func encodeMessage(t recordType, m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, recordHeader), m)
	if err != nil {
		return nil, fmt.Errorf("tunnel: encode record: %w", err)
	}
	n := len(b) - recordHeader
	if n > t.limit() {
		return nil, fmt.Errorf("tunnel: record of type %d would have %d bytes, at most %d fit", t, n, t.limit())
	}
	putRecordHeader(b, t, n)
	return b, nil
}

func writeMessage(w io.Writer, t recordType, m proto.Message) error {
	b, err := encodeMessage(t, m)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// appendData appends as much of p as fits into b's capacity, in data records, and returns how much that was.
func appendData(b, p []byte) (_ []byte, n int) {
	for n < len(p) && cap(b)-len(b) > recordHeader {
		size := min(len(p)-n, maxData, cap(b)-len(b)-recordHeader)
		b = append(b, byte(recordData), byte(size>>16), byte(size>>8), byte(size))
		b = append(b, p[n:n+size]...)
		n += size
	}
	return b, n
}

// dataWrite is what is written to a lane at a time, in bytes: two data records, which with a frame's header fill four TLS
// records exactly.
const dataWrite = 64<<10 - 12

// dataBuffers hold one write each: headers and payload leave together.
type dataBuffers struct{ pool sync.Pool }

func (d *dataBuffers) get() *[dataWrite]byte {
	if b, ok := d.pool.Get().(*[dataWrite]byte); ok {
		return b
	}
	return new([dataWrite]byte)
}

func (d *dataBuffers) put(b *[dataWrite]byte) { d.pool.Put(b) }
