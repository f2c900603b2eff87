package view

import (
	"fmt"
	"io"

	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/terminal"
)

// Authorization prints whether a peer may call a service, and by which rule.
func Authorization(w io.Writer, from Source, a *status.Authorization) error {
	printSeen(w, from)
	verdict := "denied"
	if a.Allowed {
		verdict = "allowed"
	}
	_, err := fmt.Fprintln(w, terminal.Printable(fmt.Sprintf("%s: %s to peer %s by rule %s: %s",
		a.Namespace+"/"+a.Name, verdict, a.Peer, a.Rule, a.Reason)))
	return err
}
