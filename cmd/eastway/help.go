package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/terminal"
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
	cmd.Long = terminal.Wrap(cmd.Long, helpWidth)
	for _, sub := range cmd.Commands() {
		wrapHelp(sub)
	}
}
