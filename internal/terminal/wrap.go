package terminal

import (
	"strings"
	"unicode/utf8"
)

// Wrap fills paragraphs, which empty lines separate, up to width. Lines that begin with a space or a tab stay as they are.
func Wrap(text string, width int) string {
	var lines []string
	open := false // the last line takes more words
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			lines, open = append(lines, line), false
			continue
		}
		for word := range strings.FieldsSeq(line) {
			last := len(lines) - 1
			if open && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width {
				lines[last] += " " + word
				continue
			}
			lines, open = append(lines, word), true
		}
	}
	return strings.Join(lines, "\n")
}
