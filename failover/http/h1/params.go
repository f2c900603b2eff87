package h1

import "math"

const (
	// defaultHeadBytes bounds a request line and its fields. Envoy has the same 60 KiB.
	defaultHeadBytes = 60 << 10
	// defaultFields bounds the number of fields, as Envoy does.
	defaultFields = 100
	// defaultChunkLine bounds the line with a chunk's size, in bytes with its CRLF. No known client sends extensions; 16
	// digits and a signature fit in.
	defaultChunkLine = 256
	// defaultTrailerBytes bounds the fields after the last chunk and the empty line behind them. net/http refuses more than
	// its read buffer of 4 KiB.
	defaultTrailerBytes = 4 << 10

	// chunkOverhead is how many bytes a chunk may cost for nothing; more of them count, unless twice its data makes up
	// for them. The rule and its numbers are those of net/http, which refuses a body beyond them.
	chunkOverhead = 16
	// chunkExcess bounds what so counts in one body.
	chunkExcess = 16 << 10

	// sizeDigits is how many hexadecimal digits an int64 has.
	sizeDigits = 16
	// lengthDigits is how many decimal digits an int64 has.
	lengthDigits = 19
	// largestSize of a body.
	largestSize = math.MaxInt64
	// largestChunk is what net/http can double when it compares a chunk with its overhead.
	largestChunk = (largestSize - chunkOverhead) / 2

	// firstBuffer is the size of a Reader's own buffer when it first needs one: most heads fit in.
	firstBuffer = 1 << 10
	// keptBuffer is the largest buffer that an idle connection keeps.
	keptBuffer = 4 << 10
	// emptyReads is how often the source may return nothing at all before Read gives up, as bufio does.
	emptyReads = 100

	// shownName and shownValue bound what a Violation quotes, in bytes.
	shownName  = 64
	shownValue = 32

	// fillBytes are more than the largest head that net/http's server reads by default (1 MiB and 4 KiB).
	fillBytes = 1<<20 + 64<<10
)

// Limits of one connection. A field that is not positive has its default.
type Limits struct {
	HeadBytes    int // of a request line and its fields; default 60 KiB
	Fields       int // in a head, and in a trailer section; default 100
	ChunkLine    int // bytes of a chunk's size, extensions and CRLF; default 256
	TrailerBytes int // of the fields after the last chunk, with the empty line; default 4 KiB, and net/http takes no more
}

// withDefaults fills in what is not set.
func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		field *int
		value int
	}{
		{&l.HeadBytes, defaultHeadBytes},
		{&l.Fields, defaultFields},
		{&l.ChunkLine, defaultChunkLine},
		{&l.TrailerBytes, defaultTrailerBytes},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return l
}
