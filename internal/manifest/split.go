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
// others; YAML lets no content begin with "---" or "..." at the start of a line, so nothing else is cut. Directives (%YAML)
// are left out: the parser takes no version but 1.1 for one that it knows.
func split(data []byte) []part {
	var parts []part
	start, startLine, line := 0, 1, 0
	inside := false // a document; directives are outside
	flush := func(end, next int) {
		text := data[start:end]
		if !blank(text) {
			parts = append(parts, part{number: len(parts) + 1, line: startLine, text: text})
		}
		start, startLine = next, line
		if next > end {
			startLine++
		}
	}
	for at := 0; at < len(data); {
		line++
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch text := data[at:end]; {
		case isMarker(text, "---"):
			flush(at, at)
			inside = true
		case isMarker(text, "..."):
			flush(at, end)
			inside = false
		case !inside && text[0] == '%':
			flush(at, end)
		case !inside && !blank(text):
			inside = true
		}
		at = end
	}
	flush(len(data), len(data))
	return parts
}

func isMarker(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

// blank is true for text of only comments, white space and a marker.
func blank(text []byte) bool {
	for l := range bytes.Lines(text) {
		if isMarker(l, "---") {
			l = l[len("---"):]
		}
		l = bytes.TrimSpace(l)
		if len(l) > 0 && l[0] != '#' {
			return false
		}
	}
	return true
}
