package h1

import "slices"

// nextChunkLine takes the line before a chunk's data once it is complete.
func (f *framer) nextChunkLine(b []byte) (int, *Violation) {
	line, ok, v := f.lines.next(b, f.limits.ChunkLine, ReasonChunkLine)
	if v != nil || !ok {
		return 0, v
	}
	size, extensions, v := chunkSize(line)
	if v != nil {
		return 0, v
	}
	if !validExtensions(extensions) {
		return 0, refuse(ReasonChunkExtension, "%d bytes after the size", len(extensions))
	}
	f.excess += int64(len(line)) + 2 - chunkOverhead - 2*min(size, chunkExcess)
	if f.excess = max(f.excess, 0); f.excess > chunkExcess {
		return 0, refuse(ReasonChunkOverhead, "more than %d bytes", chunkExcess)
	}
	n := f.lines.pos
	if f.left = size; size == 0 {
		f.enter(inTrailer)
	} else {
		f.enter(inChunk)
	}
	return n, nil
}

// chunkSize reads the size of a chunk; the rest of the line are its extensions.
func chunkSize(line []byte) (size int64, extensions []byte, v *Violation) {
	digits := 0
	for digits < len(line) {
		value, ok := hexValue(line[digits])
		if !ok {
			break
		}
		if digits == sizeDigits || size > largestSize>>4 {
			return 0, nil, refuse(ReasonChunkSize, "%q is too large", shown(line, shownValue))
		}
		size = size<<4 | int64(value)
		digits++
	}
	if size > largestChunk {
		return 0, nil, refuse(ReasonChunkSize, "%q is too large", shown(line, shownValue))
	}
	if digits == 0 || digits < len(line) && line[digits] != ';' {
		// Spaces before the semicolon are allowed and never sent: some servers take "5 6" for 5, others for 0x56.
		return 0, nil, refuse(ReasonChunkSize, "%q is not hexadecimal", shown(line, shownValue))
	}
	return size, line[digits:], nil
}

// validExtensions: RFC 9112 section 7.1.1, without spaces. A string in quotes must end in its line: there are servers that
// look for its end behind it.
func validExtensions(b []byte) bool {
	for len(b) > 0 {
		if b[0] != ';' {
			return false
		}
		b = b[1:]
		n := tokenLength(b)
		if n == 0 {
			return false
		}
		if b = b[n:]; len(b) == 0 || b[0] != '=' {
			continue
		}
		b = b[1:]
		if n = tokenLength(b); n == 0 {
			n = quotedLength(b)
		}
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// quotedLength is the length of the string in quotes at the start; 0 if there is none. Lines have no control bytes.
func quotedLength(b []byte) int {
	if len(b) == 0 || b[0] != '"' {
		return 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// nextChunkEnd takes the CRLF after a chunk's data.
func (f *framer) nextChunkEnd(b []byte) (int, *Violation) {
	const crlf = "\r\n"
	for i, c := range shown(b, len(crlf)) {
		if c != crlf[i] {
			return 0, refuse(ReasonChunkEnd, "byte 0x%02x", c)
		}
	}
	if len(b) < len(crlf) {
		return 0, nil
	}
	f.enter(inChunkLine)
	return len(crlf), nil
}

// nextTrailer takes the trailer section once it is complete.
func (f *framer) nextTrailer(b []byte) (int, *Violation) {
	for {
		line, ok, v := f.lines.next(b, f.limits.TrailerBytes, ReasonTrailerTooLarge)
		switch {
		case v != nil || !ok:
			return 0, v
		case len(line) == 0:
			n := f.lines.pos
			f.afterBody()
			return n, nil
		case f.lines.count > f.limits.Fields:
			return 0, refuse(ReasonTooManyFields, "more than %d in a trailer section", f.limits.Fields)
		}
		name, _, v := f.lines.splitField(line)
		if v != nil {
			return 0, v
		}
		if notInTrailer(name) {
			return 0, refuse(ReasonTrailerField, "%s", shown(name, shownName))
		}
	}
}

// notInTrailer: a field that frames, routes or authenticates a request, or says how to read its body (RFC 9110 section 6.5.1).
// Servers that merge trailers into the head would take it for one that was verified there.
func notInTrailer(name []byte) bool {
	return slices.ContainsFunc([]string{
		"authorization", "connection", "content-encoding", "content-length", "content-range", "content-type", "content_length", "cookie",
		"expect", "host", "keep-alive", "max-forwards", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
		"transfer_encoding", "upgrade",
	}, func(other string) bool { return equalFold(name, other) })
}
