package h1

import "bytes"

// lines takes a block of lines apart as its bytes come: a head, the size of a chunk, a trailer section. Each call gets the
// whole block so far, and looks only at what is new.
type lines struct {
	pos   int // what is before has been looked at
	start int // of the line that is not complete
	count int // of complete lines
}

// next is the next line without its CRLF; ok is false while it is not complete. tooLong is the reason if the block goes on
// after its limit.
//
// Each byte is judged in its order, whatever the rest of the block is, so that the result does not depend on how it was split.
func (l *lines) next(block []byte, limit int, tooLong Reason) (line []byte, ok bool, v *Violation) {
	end := min(len(block), limit)
	at := end
	if i := indexControl(block[l.pos:end]); i >= 0 {
		at = l.pos + i
	}
	l.pos = at
	switch {
	case at == end, block[at] == '\r' && at+1 == end:
		if end == limit {
			return nil, false, refuse(tooLong, "line %d ends after more than %d bytes", l.count+1, limit)
		}
		return nil, false, nil
	case block[at] == '\n':
		return nil, false, refuse(ReasonBareLF, "line %d", l.count+1)
	case block[at] != '\r':
		return nil, false, refuse(ReasonControlByte, "line %d: byte 0x%02x", l.count+1, block[at])
	case block[at+1] != '\n':
		return nil, false, refuse(ReasonBareCR, "line %d", l.count+1)
	}
	line = block[l.start:at]
	l.pos, l.start = at+2, at+2
	l.count++
	return line, true, nil
}

// splitField takes a line apart into a name and a value, without spaces around it. Tabs are left: RFC 9110 allows them there,
// but nginx takes "Transfer-Encoding:<tab>chunked" for another coding, so that in a field that matters they are no part of a
// valid value.
func (l *lines) splitField(line []byte) (name, value []byte, v *Violation) {
	n := tokenLength(line)
	switch {
	case n == len(line):
		return nil, nil, refuse(ReasonNoColon, "line %d", l.count)
	case n == 0 && isSpace(line[0]):
		return nil, nil, refuse(ReasonObsFold, "line %d", l.count)
	case isSpace(line[n]):
		return nil, nil, refuse(ReasonFieldSpace, "line %d", l.count)
	case n == 0 || line[n] != ':':
		return nil, nil, refuse(ReasonFieldName, "line %d: byte 0x%02x", l.count, line[n])
	}
	return line[:n], bytes.Trim(line[n+1:], " "), nil
}
