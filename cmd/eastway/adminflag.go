package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/internal/admin"
)

// addAdminFlag gives cmd the flag --admin of commands that ask a running proxy.
func addAdminFlag(cmd *cobra.Command, address *string) {
	cmd.Flags().StringVar(address, "admin", admin.DefaultAddress, "`address` of the proxy's admin listener, HOST:PORT")
}

// ask calls f with a client of the admin listener and gives its errors their
// remedy and exit code.
func ask(address string, f func(*admin.Client) error) error {
	client, err := admin.NewClient(address)
	if err != nil {
		return usageErrorf("--admin: %w", err)
	}
	defer client.Close()
	switch err := f(client); {
	case errors.Is(err, admin.ErrUnreachable):
		return withExit(exitUnreachable, fmt.Errorf("%w: is 'eastway proxy' running? (--admin)", err))
	case errors.Is(err, admin.ErrNoService):
		return withExit(exitNotFound, err)
	default:
		return err
	}
}
