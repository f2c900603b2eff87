package listen

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/eastway/eastway/discovery"
)

func TestListenErrorsNameTheRemedy(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort("10.0.0.1:80")
	for err, remedy := range map[error]string{
		syscall.EADDRINUSE:    "another process",
		syscall.EACCES:        "CAP_NET_BIND_SERVICE",
		syscall.EADDRNOTAVAIL: "not on this machine",
		syscall.EMFILE:        "raise its limit",
	} {
		got := listenError(addr, discovery.ServiceName{Namespace: "shop", Name: "echo"}, err)
		for _, want := range []string{"10.0.0.1:80", "shop/echo", remedy} {
			if !strings.Contains(got.Error(), want) || !errors.Is(got, err) {
				t.Errorf("%v lacks %q", got, want)
			}
		}
	}
}
