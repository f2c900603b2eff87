package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// Help reads alike everywhere: text fills the width, and no line is longer than a wide terminal.
func TestHelpIsWrapped(t *testing.T) {
	t.Parallel()
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		lines := strings.Split(cmd.Long, "\n")
		for i, line := range lines {
			if utf8.RuneCountInString(line) > helpWidth {
				t.Errorf("%s: %q is longer than %d", cmd.CommandPath(), line, helpWidth)
			}
			if i == 0 || line == "" || strings.TrimLeft(line, " \t") != line || lines[i-1] == "" || strings.HasPrefix(lines[i-1], " ") {
				continue
			}
			if first := strings.Fields(line)[0]; utf8.RuneCountInString(lines[i-1]+" "+first) <= helpWidth {
				t.Errorf("%s: %q would have room for %q", cmd.CommandPath(), lines[i-1], first)
			}
		}
		_, flags, _ := strings.Cut(cmd.UsageString(), "\nFlags:\n")
		for line := range strings.SplitSeq(flags, "\n") {
			if utf8.RuneCountInString(line) > flagWidth {
				t.Errorf("%s: %q is longer than %d", cmd.CommandPath(), line, flagWidth)
			}
		}
		for _, sub := range cmd.Commands() {
			each(sub)
		}
	}
	each(newRoot(io.Discard, io.Discard))
}
