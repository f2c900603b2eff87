package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/terminal"
	"github.com/eastway/eastway/internal/version"
)

func newVersionCommand() *cobra.Command {
	var output terminal.Format
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit and the protocol spoken with peers",
		Args:  command.Arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printVersion(cmd.OutOrStdout(), output, version.Get())
		},
	}
	command.AddOutputFlag(cmd, &output)
	return cmd
}

func printVersion(w io.Writer, output terminal.Format, info version.Info) error {
	if output == terminal.AsJSON {
		return terminal.JSON(w, info)
	}
	return terminal.Fields(w, [][2]string{
		{"Version", info.Version},
		{"Commit", info.Commit},
		{"Go", info.Go},
		{"Platform", info.Platform},
		{"Protocol", info.Protocol},
	})
}
