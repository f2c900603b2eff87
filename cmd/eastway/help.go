package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

const (
	// helpWidth is how wide the text of help is, in characters: a terminal's usual width.
	helpWidth = 80
	// flagWidth is that of flags, whose names and values take a third of it.
	flagWidth = 100
)

// wrapFlags has cmd and everything below it list flags within flagWidth.
func wrapFlags(cmd *cobra.Command) {
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "FlagUsages", fmt.Sprint("FlagUsagesWrapped ", flagWidth)))
}

// wrapHelp has the long help of cmd and everything below it fill the same width, however the source is broken into lines.
func wrapHelp(cmd *cobra.Command) {
	cmd.Long = wrap(cmd.Long, helpWidth)
	for _, sub := range cmd.Commands() {
		wrapHelp(sub)
	}
}

// wrap fills paragraphs, which empty lines separate, up to width. Lines that begin with a space or a tab stay as they are.
func wrap(text string, width int) string {
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
