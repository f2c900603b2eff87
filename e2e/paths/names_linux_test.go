package paths

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/eastway/eastway/e2e/loopback"
	"github.com/eastway/eastway/internal/status"
)

// names: each address of a peer's name has a link, so that a replica that is killed costs no fresh call. An address that the name gets
// later has one too.
func names(t *testing.T, programs *loopback.Fleet) {
	w := newWorld(t, programs, 3, "far.test:15443")
	hosts := filepath.Join(t.TempDir(), "hosts")
	resolve := func(replicas ...int) {
		t.Helper()
		var text strings.Builder
		for _, i := range replicas {
			fmt.Fprintf(&text, "%s far.test\n", replicaIP(i))
		}
		must(t, os.WriteFile(hosts, []byte(text.String()), 0o600))
	}
	resolve(0, 1)
	for _, p := range w.peer.Proxies {
		w.start(w.peer, p)
	}
	// In a mount namespace of its own.
	w.start(w.caller, w.caller.Proxies[0], "unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts)
	w.await("both addresses have a link", linksTo(0, 1))
	w.awaitService()
	w.load(func() {
		must(t, w.fleet.Process(w.peer.Proxies[0].Name).End(syscall.SIGKILL))
	})
	resolve(1, 2)
	w.await("the new address has a link", linksTo(1, 2))
	w.load(func() {
		must(t, w.fleet.Process(w.peer.Proxies[1].Name).End(syscall.SIGKILL))
	})
}

// linksTo is nil once there are lanes to exactly these replicas.
func linksTo(replicas ...int) func(status.Peer) error {
	var want []string
	for _, i := range replicas {
		want = append(want, replicaIP(i)+":15443")
	}
	return func(p status.Peer) error {
		var have []string
		for _, l := range p.Links {
			if l.State != status.Connected || len(l.Lanes) == 0 {
				continue
			}
			have = append(have, l.Lanes[0].Remote)
		}
		slices.Sort(have)
		if !slices.Equal(have, want) {
			return fmt.Errorf("links to %v: %s", have, p.LastError)
		}
		return nil
	}
}
