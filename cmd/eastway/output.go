package main

import (
	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/terminal"
)

// outputFormat is the value of -o.
type outputFormat = terminal.Format

// addOutputFlag gives cmd the flag -o, --output; table is the default.
func addOutputFlag(cmd *cobra.Command, f *outputFormat) {
	*f = terminal.AsTable
	cmd.Flags().VarP(f, "output", "o", "output `format`: table or json")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{string(terminal.AsTable), string(terminal.AsJSON)}, cobra.ShellCompDirectiveNoFileComp))
}
