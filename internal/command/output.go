package command

import (
	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/terminal"
)

// AddOutputFlag gives cmd the flag -o, --output; table is the default.
func AddOutputFlag(cmd *cobra.Command, f *terminal.Format) {
	*f = terminal.AsTable
	cmd.Flags().VarP(f, "output", "o", "output `format`: table or json")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{string(terminal.AsTable), string(terminal.AsJSON)}, cobra.ShellCompDirectiveNoFileComp))
}
