package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// outputFormat is the value of -o.
type outputFormat string

const (
	outputTable outputFormat = "table"
	outputJSON  outputFormat = "json"
)

// String, Set and Type make it a pflag.Value.
func (f *outputFormat) String() string { return string(*f) }

func (f *outputFormat) Set(s string) error {
	switch v := outputFormat(s); v {
	case outputTable, outputJSON:
		*f = v
		return nil
	default:
		return fmt.Errorf("must be %s or %s", outputTable, outputJSON)
	}
}

func (*outputFormat) Type() string { return "format" }

// addOutputFlag gives cmd the flag -o, --output; table is the default.
func addOutputFlag(cmd *cobra.Command, f *outputFormat) {
	*f = outputTable
	cmd.Flags().VarP(f, "output", "o", "output `format`: table or json")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(
		[]string{string(outputTable), string(outputJSON)}, cobra.ShellCompDirectiveNoFileComp))
}
