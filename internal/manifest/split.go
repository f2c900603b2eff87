package manifest

import (
	"bytes"
	"strings"
)

// part is one document of a file.
type part struct {
	number int // 1 for the first that is not empty
	line   int // line of the file that its text begins with, 1 for the first
	text   []byte
}

// split cuts a file at its document markers. Doing so before parsing keeps an error in one document away from the
// others; YAML lets no content begin with "---" at the start of a line, so nothing else is cut.
func split(data []byte) []part {
	var parts []part
	start, startLine, line := 0, 1, 0
	flush := func(end int) {
		text := data[start:end]
		if !blank(text) {
			parts = append(parts, part{number: len(parts) + 1, line: startLine, text: text})
		}
	}
	for at := 0; at < len(data); {
		line++
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if isMarker(data[at:end]) {
			flush(at)
			start, startLine = at, line
		}
		at = end
	}
	flush(len(data))
	return parts
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// blank is true for text of only comments, white space and a marker.
func blank(text []byte) bool {
	for l := range bytes.Lines(text) {
		if isMarker(l) {
			l = l[len("---"):]
		}
		l = bytes.TrimSpace(l)
		if len(l) > 0 && l[0] != '#' {
			return false
		}
	}
	return true
}
