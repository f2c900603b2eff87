package peering

import "bytes"

// Split takes a file of YAML documents apart; it leaves out documents that are empty or hold comments only.
func Split(data []byte) [][]byte {
	var docs [][]byte
	var doc bytes.Buffer
	content := false
	flush := func() {
		if content {
			docs = append(docs, bytes.Clone(doc.Bytes()))
		}
		doc.Reset()
		content = false
	}
	for line := range bytes.Lines(data) {
		trimmed := bytes.TrimSpace(line)
		if bytes.Equal(trimmed, []byte("---")) && line[0] == '-' {
			flush()
			continue
		}
		content = content || (len(trimmed) > 0 && trimmed[0] != '#')
		doc.Write(line)
	}
	flush()
	return docs
}
