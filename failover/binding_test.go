package failover

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// listensAs makes the service's only listener one of that kind.
func listensAs(l discovery.Listener) setup {
	return func(w *world, _ *Config) {
		l.Address, l.Port = netip.AddrPortFrom(w.service.Addresses[0], servicePort), servicePort
		w.service.Listeners = []discovery.Listener{l}
	}
}

// not exported here: the service's own endpoints are not meant by callers of the whole cluster set.
func notExported(w *world, _ *Config) { w.service.Export = nil }

func TestClusterSetListener(t *testing.T) {
	t.Parallel()
	own := locals("LIVE", here)
	for name, tt := range map[string]struct {
		options []setup
		want    string
	}{
		"exported here":              {[]setup{listensAs(discovery.Listener{ClusterSet: true})}, "LIVE got hi"},
		"not exported here":          {[]setup{listensAs(discovery.Listener{ClusterSet: true}), notExported}, "PEER got hi"},
		"the own name, not exported": {[]setup{listensAs(discovery.Listener{}), notExported}, "LIVE got hi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(tt.options, own, peer("b", here, &fakePeer{handle: accepts("PEER")}))...)
			if got, err := w.ask("hi"); err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// podNames gives the service's endpoints their pods' names.
func podNames(hostnames ...string) setup {
	return func(w *world, _ *Config) {
		for i, h := range hostnames {
			w.service.Endpoints[servicePort][i].Hostname = h
		}
	}
}

// A listener of one pod leads to it and to no other, whatever its state.
func TestPodListener(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE 0", here, "LIVE 1", here, "DEAD", here), podNames("db-0", "db-1", "db-2"),
		peer("b", here, &fakePeer{handle: func(in *fakeIncoming) {
			accepts("PEER " + in.Header().GetHostname())(in)
		}}),
		func(w *world, _ *Config) {
			for _, pod := range []discovery.PodRef{
				{Cluster: "cn-hangzhou", Hostname: "db-1"},
				{Cluster: "cn-hangzhou", Hostname: "db-2"},
				{Cluster: "b", Hostname: "db-0"},
			} {
				a := freshAddress()
				w.service.Addresses = append(w.service.Addresses, a)
				w.service.Listeners = append(w.service.Listeners,
					discovery.Listener{Address: netip.AddrPortFrom(a, servicePort), Port: servicePort, Pod: pod})
			}
		})
	w.listening(3)
	for i, want := range map[int]string{1: "LIVE 1 got hi", 2: "", 3: "PEER db-0 got hi"} {
		for range 5 {
			got := w.askAt(netip.AddrPortFrom(w.service.Addresses[i], servicePort), "hi")
			if got != want {
				t.Errorf("listener %d: got %q, want %q", i, got, want)
			}
		}
	}
}

func (w *world) askAt(at netip.AddrPort, request string) string {
	w.t.Helper()
	c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(at))
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	answer, err := ask(w.t, c, request)
	if err != nil {
		return ""
	}
	return answer
}

// A peer asks for one pod.
func TestServeStreamOfPod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, locals("LIVE 0", here, "LIVE 1", here), podNames("db-0", "db-1"))
	for range 5 {
		h := request()
		h.Hostname = "db-1"
		s := w.serve(&fakePeer{}, h)
		_, _ = io.WriteString(s, "hi")
		_ = s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || string(got) != "LIVE 1 got hi" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	h := request()
	h.Hostname = "db-7"
	if code := refused(w.serve(&fakePeer{}, h)); code != tunnelpb.Answer_CODE_UNAVAILABLE {
		t.Errorf("a pod that is not there: %v", code)
	}
}

// A pod is found among many, of which a connection to any would try a few only.
func TestServeStreamOfPodAmongMany(t *testing.T) {
	t.Parallel()
	var pods []any
	var hostnames []string
	for i := range 3 * balance.MaxPerLevel {
		pods, hostnames = append(pods, "DEAD", here), append(hostnames, fmt.Sprint("db-", i))
	}
	w := newWorld(t, locals(append(pods, "LIVE", here)...), podNames(append(hostnames, "db")...))
	for range 5 { // what has connections comes behind what has none
		h := request()
		h.Hostname = "db"
		if code := refused(w.serve(&fakePeer{}, h)); code != 0 {
			t.Fatal(code)
		}
	}
}
