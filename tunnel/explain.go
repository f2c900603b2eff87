package tunnel

import (
	"fmt"
	"strings"
)

// reasonOther is what Config.Reason returns for what has nothing to do with trust.
const reasonOther = "other"

// plain is an error in one line, without the names of packages.
func plain(err error) string {
	return strings.NewReplacer("\n", "; ", "tunnel: ", "", "certs: ", "").Replace(err.Error())
}

// refusedBy says what a peer's alert means. An alert says no more than that our certificate did not do: what is wrong with it, and
// mostly what is to be mended, is at the peer. That comes first: of the words that reach a Peer's status the end is cut off.
func refusedBy(peer, addr string, alert error) error {
	if !strings.Contains(alert.Error(), "certificate") {
		return fmt.Errorf("tunnel: peer %s at %s refused us, its log says why: %w", peer, addr, alert)
	}
	return fmt.Errorf("tunnel: peer %s refused our certificate: it has no Peer for this cluster, or one with another root "+
		"(run 'eastway peer list' there), or clocks differ: the log of %s says which: %w", peer, addr, alert)
}
