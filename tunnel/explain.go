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

// refusedBy explains a peer's alert. An alert only means that the peer did not accept our certificate: what is wrong with it, and
// usually what must be fixed, is at the peer. That comes first, because a Peer's status cuts off the end of long messages.
func refusedBy(peer, addr string, alert error) error {
	if !strings.Contains(alert.Error(), "certificate") {
		return fmt.Errorf("tunnel: peer %s at %s refused us, its log says why: %w", peer, addr, alert)
	}
	return fmt.Errorf("tunnel: peer %s refused our certificate: it has no Peer for this cluster, or one with another root "+
		"(run 'eastway peer list' there), or clocks differ: the log of %s says which: %w", peer, addr, alert)
}
