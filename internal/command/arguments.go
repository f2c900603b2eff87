package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

// Arguments is the Args of a command that takes exactly these, by the names that
// its Use line gives them.
func Arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("missing argument %s", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("unexpected argument %q", args[len(names)])
		default:
			return nil
		}
	}
}
