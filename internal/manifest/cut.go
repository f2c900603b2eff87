package manifest

import "bytes"

// endsEarly is true if a text that is not YAML, for the reason err, may be the beginning of one that is. The parser met the end
// of such a text, so what follows makes a difference; where it failed before the end, nothing does.
func endsEarly(p part, err error) bool {
	if !endsLine(p.text) {
		return true
	}
	text := bytes.TrimRight(p.text, "\r\n")
	// These end a flow map, a flow list, quoted scalars of two kinds, and a key.
	for _, more := range []string{"\n}", "\n]", `"`, "'", ": x"} {
		_, other := parse(part{number: p.number, line: p.line, text: append(bytes.Clone(text), more...)})
		if other == nil || other.Error() != err.Error() {
			return true
		}
	}
	return false
}

func endsLine(text []byte) bool { return bytes.HasSuffix(text, []byte("\n")) }
