package h1

// phase is what the next byte of a connection belongs to.
type phase int

const (
	inHead phase = iota
	inBody
	inChunkLine
	inChunk
	inChunkEnd
	inTrailer
	inOpaque // all bytes to the end belong to another protocol
)

// framer finds in a client's bytes where heads and bodies begin and end, and what must not be passed on. It keeps no
// bytes: those that it could not judge yet are given to it again, with more behind them.
type framer struct {
	limits Limits
	phase  phase
	left   int64 // bytes of data up to the end of the body or chunk
	lines  lines
	head   head
	heads  int   // that were verified
	excess int64 // bytes that chunks have cost for nothing
	// skipped: the empty line that may come before a request line was there.
	skipped bool
}

// next judges the bytes b: the first n are verified. If skip is set, the two bytes after them are an empty line that is not
// passed on, and next has to be called again for the rest. What is after a violation is never looked at.
func (f *framer) next(b []byte) (n int, skip bool, v *Violation) {
	for n < len(b) {
		rest := b[n:]
		k := 0
		switch f.phase {
		case inHead:
			k, skip, v = f.nextHead(rest)
		case inBody, inChunk:
			k = f.nextData(rest)
		case inChunkLine:
			k, v = f.nextChunkLine(rest)
		case inChunkEnd:
			k, v = f.nextChunkEnd(rest)
		case inTrailer:
			k, v = f.nextTrailer(rest)
		case inOpaque:
			k = len(rest)
		}
		if v != nil {
			v.InBody, v.Request = f.phase != inHead, f.heads
			if !v.InBody {
				v.Request++
			}
			return n, false, v
		}
		if n += k; skip || k == 0 {
			return n, skip, nil
		}
	}
	return n, false, nil
}

// enter begins a phase.
func (f *framer) enter(p phase) {
	f.phase, f.lines = p, lines{}
}

// nextHead takes a head once it is complete.
func (f *framer) nextHead(b []byte) (n int, skip bool, v *Violation) {
	for {
		line, ok, v := f.lines.next(b, f.limits.HeadBytes, ReasonHeadTooLarge)
		if v != nil || !ok {
			return 0, false, v
		}
		first := f.lines.count == 1
		switch {
		case len(line) > 0:
			v = f.headLine(line, b, first)
		case !first:
			n = f.lines.pos
			if v = f.head.end(); v == nil {
				f.afterHead()
			}
			return n, false, v
		case f.skipped:
			v = refuse(ReasonEmptyLines, "more than one before a request line")
		default:
			// RFC 9112 section 2.2: one is ignored, since old clients send it after a body.
			f.skipped, f.lines = true, lines{}
			return 0, true, nil
		}
		if v != nil {
			return 0, false, v
		}
	}
}

// headLine takes a line of a head.
func (f *framer) headLine(line, block []byte, first bool) *Violation {
	switch {
	case first:
		f.head = head{}
		return f.head.requestLine(line)
	case f.lines.count-1 > f.limits.Fields:
		return refuse(ReasonTooManyFields, "more than %d", f.limits.Fields)
	}
	return f.head.field(&f.lines, line, block)
}

// afterHead begins what follows a head.
func (f *framer) afterHead() {
	f.skipped, f.excess = false, 0
	f.heads++
	switch {
	case f.head.chunked:
		f.enter(inChunkLine)
	case f.head.length > 0:
		f.left = f.head.length
		f.enter(inBody)
	default:
		f.afterBody()
	}
}

// afterBody begins what follows a request.
func (f *framer) afterBody() {
	if f.head.upgrades() {
		f.enter(inOpaque)
		return
	}
	f.enter(inHead)
}

// nextData passes data on unseen.
func (f *framer) nextData(b []byte) int {
	n := min(f.left, int64(len(b)))
	switch f.left -= n; {
	case f.left > 0:
	case f.phase == inChunk:
		f.enter(inChunkEnd)
	default:
		f.afterBody()
	}
	return int(n)
}
