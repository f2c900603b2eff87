package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/command"
)

func TestControllerFlags(t *testing.T) {
	t.Parallel()
	wantRefused(t, "controller", map[string]string{
		"":                                       "--cluster is required",
		"--cluster No.label":                     "--cluster",
		"--cluster a --trust-domain A/B":         "--trust-domain",
		"--cluster a --namespace A":              `--namespace "A"`,
		"--cluster a --release A.B":              `--release "A.B"`,
		"--cluster a --listener-ports 1":         "FIRST-LAST",
		"--cluster a --listener-ports 9-8":       "not above the last",
		"--cluster a --listener-ports 0-8":       "at least 1",
		"--cluster a --listener-ports 1-99999":   "two port numbers",
		"--cluster a --listener-ports 15-15443":  "the proxies need",
		"--cluster a --public-address x":         "--public-address: Invalid value: \"x\": must be host:port",
		"--cluster a --public-address 0.0.0.0:1": "must be an address that can be dialed",
		"--cluster a --health x":                 "--health",
		"--cluster a --log-level loud":           "--log-level",
		"--cluster a --entry-service x.y":        "--entry-service",
		"--cluster a --gateway-service-type x":   "use LoadBalancer, NodePort or ClusterIP",
	})
}

func TestControllerWithoutKubernetes(t *testing.T) {
	t.Parallel()
	got := runCommand(t, "controller", "--cluster", "a", "--kubeconfig", t.TempDir()+"/none", "--health", "127.0.0.1:0")
	if got.code == command.OK || !strings.Contains(got.stderr, "--kubeconfig") {
		t.Errorf("%+v", got)
	}
}

func TestControllerNames(t *testing.T) {
	t.Parallel()
	o := controllerOptions{release: "r"}
	if n := o.names(); n.CASecret != "r-ca" || n.SVIDSecret != "r-svid" || n.NodeSecret != "r-node-svid" ||
		n.ConfigMap != "r-cluster" || n.Lease != "r-controller" ||
		n.ProxiesService != "r-proxies" || !slices.Equal(n.TunnelServices, []string{"r-tunnel"}) || n.OwnerClusterRole != "" {
		t.Errorf("%+v", n)
	}
	o.proxiesService, o.tunnelServices, o.ownerClusterRole = "p", []string{"t", "u"}, "role"
	if n := o.names(); n.ProxiesService != "p" || !slices.Equal(n.TunnelServices, []string{"t", "u"}) || n.OwnerClusterRole != "role" {
		t.Errorf("%+v", n)
	}
}

// All parts take their metrics from one registry without getting into each other's way.
func TestControllerParts(t *testing.T) {
	t.Parallel()
	o := controllerOptions{cluster: "a", namespace: "n", release: "r", listenerPorts: "20000-20001", kubeconfig: deadKubeconfig(t)}
	reg := prometheus.NewRegistry()
	c, err := newController(t.Context(), &o, zap.NewNop(), reg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(); err == nil || err.Error() != "starting" {
		t.Errorf("ready: %v", err)
	}
	families, err := ownMetrics{reg}.Gather()
	if err != nil || len(families) == 0 {
		t.Errorf("%d families, %v", len(families), err)
	}
}
