package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/status"
)

var testNow = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func testStatus() admin.Status {
	http := discovery.ServicePort{Name: "http", Port: 8000, Protocol: discovery.TCP}
	dns := discovery.ServicePort{Name: "dns", Port: 53, Protocol: discovery.UDP}
	return admin.Status{
		Cluster: "cn-hangzhou", Replica: "proxy-h", Version: "v0.1.0",
		Region: "cn-hangzhou", Zone: "cn-hangzhou-h", Started: testNow.Add(-3*time.Minute - 12*time.Second),
		Peers: []status.Peer{
			{Peer: "ap-northeast-1", State: "connected", Links: []status.Link{
				{
					Replica: "proxy-1a", Region: "ap-northeast-1", Zone: "ap-northeast-1a", Version: "v0.1.0",
					State: "connected", Dialed: true, Control: "quic",
					RTT: 31*time.Millisecond + 400*time.Microsecond, Age: 2 * time.Minute, Heard: 40 * time.Millisecond,
					Lanes: []status.Lane{
						{
							Name: "quic-0", Transport: "quic", Role: "control", CongestionControl: "newreno",
							RTT: 31 * time.Millisecond, Age: 2 * time.Minute, Sent: 400,
						},
						{
							Name: "quic-1", Transport: "quic", Role: "lane", Local: "127.1.0.1:15443", Remote: "127.2.0.1:15443",
							CongestionControl: "newreno", TLS: "TLS 1.3, X25519MLKEM768",
							RTT: 31 * time.Millisecond, Age: 2 * time.Minute, Streams: 3, Sent: 20_000, Lost: 21,
						},
						{
							Name: "tcp-1", Transport: "tcp", Role: "lane", CongestionControl: "bbr",
							RTT: 350 * time.Microsecond, Age: 118 * time.Second, Quiet: true,
						},
					},
				},
				{Replica: "proxy-1b", State: "suspect", RTT: 30 * time.Millisecond},
			}},
			{Peer: "eu-west", State: "disconnected", LastError: "dial 198.51.100.7:15443: i/o timeout"},
		},
		Services: []admin.ServiceStatus{
			{
				Namespace: "default", Name: "mockb", Ports: []discovery.ServicePort{http, dns},
				Addresses: []netip.Addr{netip.MustParseAddr("127.1.0.20"), netip.MustParseAddr("fd00::20")},
				Exported:  true, LocalReady: 1, LocalTotal: 2,
				Peers: []admin.PeerReadiness{{Peer: "ap-northeast-1", Ready: 2, Total: 2}, {Peer: "eu-west", Ready: 0, Total: 2}},
			},
			{Namespace: "shop", Name: "cart", Ports: []discovery.ServicePort{http}},
		},
		Errors: []string{"manifests/cart.yaml: document 2, line 7: spec.ports[0].port: must be between 1 and 65535"},
	}
}

func TestPrintStatus(t *testing.T) {
	t.Parallel()
	tests := map[string]admin.Status{
		"status.txt":       testStatus(),
		"status-empty.txt": {Cluster: "alone", Replica: "proxy-0", Version: "v0.1.0", Started: testNow},
	}
	for file, want := range tests {
		var b bytes.Buffer
		if err := view.Status(&b, view.Source{}, want, &view.Filter{}, testNow); err != nil {
			t.Fatal(err)
		}
		golden(t, file, b.Bytes())
	}
}

// startAdmin serves an admin listener for the length of the test.
func startAdmin(t *testing.T) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	server, err := admin.Listen(ctx, admin.Config{
		Address: "127.0.0.1:0",
		Status:  testStatus,
		Explain: explainForTest, Probe: probeForTest,
		Authz: func(peer string, name discovery.ServiceName) status.Authorization {
			a := status.Authorization{Peer: peer, Namespace: name.Namespace, Name: name.Name, Rule: "exported", Allowed: true}
			if peer != "west" {
				a.Rule, a.Allowed, a.Missing = "no-peer", false, "Peer "+peer
			}
			return a
		},
		Endpoints: func(namespace, name string) ([]status.Endpoint, bool) {
			return testEndpoints(), namespace == "default" && name == "mockb"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server.Addr().String()
}

func TestStatusCommand(t *testing.T) {
	t.Parallel()
	address := startAdmin(t)
	got := runCommand(t, "status", "--admin", address)
	if got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "ap-northeast-1  connected") {
		t.Errorf("status: %+v", got)
	}
	got = runCommand(t, "status", "--admin", "http://"+address, "-o", "json")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("status -o json: %+v", got)
	}
	golden(t, "status.json", []byte(got.stdout))
}

// Status is about whole services: a port is no filter that it could leave out.
func TestStatusRefusesPorts(t *testing.T) {
	t.Parallel()
	got := runCommand(t, "status", "--admin", startAdmin(t), "mockb:81")
	if got.code != command.Usage || got.stdout != "" || !strings.Contains(got.stderr, "leave :81 out") {
		t.Errorf("%+v", got)
	}
}

func TestStatusWithoutProxy(t *testing.T) {
	t.Parallel()
	// An address of which no other test takes a port once this one is free again.
	l, err := net.Listen("tcp", "127.99.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"endpoints", "mockb"}} {
		got := runCommand(t, append(args, "--admin", address)...)
		want := "eastway: " + args[0] + ": cannot reach the admin listener at http://" + address +
			": connection refused: is 'eastway proxy' running? (--admin)\n"
		if got != (result{code: 3, stderr: want}) {
			t.Errorf("%v = %+v, want code 3 and %q", args, got, want)
		}
	}
}

func TestStatusInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"status", "--admin", startAdmin(t)}, &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "context canceled") {
		t.Errorf("code %d, stderr %q", code, stderr.String())
	}
}
