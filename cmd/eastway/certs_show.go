package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/certview"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

func newCertsShowCommand() *cobra.Command {
	var output terminal.Format
	cmd := &cobra.Command{
		Use:   "show DIR|FILE|-",
		Short: "Show certificates: subject, SPIFFE ID, validity, constraints, chain",
		Long: `Show prints the certificates of a file (PEM, or a SPIFFE bundle in JSON), or those of a
directory as Eastway uses it: ca.crt, root.crt, tls.crt. A chain begins with the leaf.
It reads no keys.`,
		Example: `  eastway certs show ca
  eastway certs show proxy-tls/tls.crt -o json
  kubectl get secret web-tls -o jsonpath='{.data.tls\.crt}' | base64 -d | eastway certs show -`,
		Args: command.Arguments("DIR|FILE|-"),
		RunE: func(cmd *cobra.Command, args []string) error {
			shown, err := showCerts(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if output == terminal.AsJSON {
				return terminal.JSON(cmd.OutOrStdout(), shown)
			}
			return certview.Print(cmd.OutOrStdout(), shown, time.Now())
		},
	}
	command.AddOutputFlag(cmd, &output)
	return cmd
}

func showCerts(stdin io.Reader, path string) ([]certview.Cert, error) {
	if path != "-" {
		shown, err := certview.Read(path, time.Now())
		if errors.Is(err, fs.ErrNotExist) {
			return nil, command.WithExit(command.NotFound, err)
		}
		return shown, err
	}
	text, err := io.ReadAll(io.LimitReader(stdin, peering.MaxManifest))
	if err != nil {
		return nil, fmt.Errorf("show certificates: read stdin: %w", err)
	}
	return certview.Parse("stdin", text, time.Now())
}
