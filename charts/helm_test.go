// Package charts is only tests: what charts/eastway renders, by the real helm. They take helm, which takes minutes to build
// the first time, so they belong to `make chart` and not to `make test`.
package charts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	chart     = "eastway"
	release   = "east-gate" // not the default, so that a name written out is noticed
	namespace = "tunnels"
	// kubeVersion is what the clusters of e2e run; a helm built from source takes itself for much older.
	kubeVersion = "1.34.4"
)

// program is helm: built once, by the first test that asks.
var program struct {
	sync.Once
	path string
	err  error
}

// helm runs it with nothing of the user's configuration.
func helm(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	program.Do(func() { program.path, program.err = findHelm(t.Context()) })
	if program.err != nil {
		t.Fatalf("no helm: %v", program.err)
	}
	cmd := exec.CommandContext(t.Context(), program.path, args...)
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + filepath.Join(home, "none")}
	var out, problems bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

// template renders the chart with the values, given as YAML.
func template(t *testing.T, values string) (stdout, stderr string, err error) {
	t.Helper()
	return helm(t, values, "template", release, chart, "--namespace", namespace, "--kube-version", kubeVersion, "--values", "-")
}

func TestLint(t *testing.T) {
	t.Parallel()
	out, problems, err := helm(t, "", "lint", chart, "--strict", "--kube-version", kubeVersion, "--set", "cluster=east")
	if err != nil {
		t.Errorf("helm lint: %v\n%s%s", err, out, problems)
	}
}

// The errors that a person meets name the key, and what it may be.
func TestWrongValuesAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ values, want string }{
		"no cluster":         {`{}`, "--set cluster=NAME"},
		"no DNS label":       {`cluster: East_1`, "/cluster"},
		"a number":           {`cluster: 17`, "'/cluster': got number, want string"},
		"unknown":            {`{cluster: a, clutser: b}`, "'clutser' not allowed"},
		"unknown, deep":      {`{cluster: a, tunnel: {service: {typ: NodePort}}}`, "'typ' not allowed"},
		"wrong type":         {`{cluster: a, proxy: {replicas: "2"}}`, "'/proxy/replicas': got string, want integer"},
		"ClusterIP":          {`{cluster: a, tunnel: {service: {type: ClusterIP}}}`, "'LoadBalancer', 'NodePort'"},
		"no transport":       {`{cluster: a, tunnel: {transports: []}}`, "/tunnel/transports"},
		"no port":            {`{cluster: a, tunnel: {publicAddresses: [example.com]}}`, "/tunnel/publicAddresses/0"},
		"our labels":         {`{cluster: a, commonLabels: {app.kubernetes.io/name: b}}`, "app.kubernetes.io/name"},
		"unsafe sysctl":      {`{cluster: a, proxy: {sysctls: [{name: net.core.somaxconn, value: "1"}]}}`, "/proxy/sysctls/0/name"},
		"no flag":            {`{cluster: a, proxy: {extraArgs: [drain-delay=1s]}}`, "/proxy/extraArgs/0"},
		"no digest":          {`{cluster: a, image: {digest: v1}}`, "/image/digest"},
		"budget of none":     {`{cluster: a, proxy: {maxUnavailable: 0}}`, "/proxy/maxUnavailable"},
		"share above all":    {`{cluster: a, proxy: {limits: {streams: 10, streamsPerPeer: 11}}}`, "streamsPerPeer is 11, more than streams 10"},
		"listener above all": {`{cluster: a, proxy: {limits: {connections: 10, connectionsPerListener: 11}}}`, "connectionsPerListener is 11"},
		"min above max":      {`{cluster: a, proxy: {autoscaling: {enabled: true, maxReplicas: 1}}}`, "minReplicas is 2, more than maxReplicas 1"},
		"percent of nothing": {`{cluster: a, proxy: {autoscaling: {enabled: true}, resources: {requests: {cpu: null}}}}`, "needs proxy.resources"},
		"scaled by nothing":  {`{cluster: a, proxy: {autoscaling: {enabled: true, targetCPUUtilizationPercentage: 0}}}`, "nothing to go by"},
		"an entry by nothing": {
			`{cluster: a, entry: {enabled: true, autoscaling: {enabled: true, targetCPUUtilizationPercentage: 0}}}`, "nothing to go by",
		},
		"names of no list":     {`{cluster: a, entry: {secrets: {shop: shop-tls}}}`, "/entry/secrets/shop"},
		"ports upside down":    {`{cluster: a, listenerPorts: 30000-20000}`, "listenerPorts"},
		"a port for two":       {`{cluster: a, listenerPorts: 15000-16000}`, "listenerPorts"},
		"scraped twice":        {`{cluster: a, monitoring: {podMonitor: {enabled: true}, serviceMonitor: {enabled: true}}}`, "scraped twice"},
		"no manifests":         {`{cluster: a, nameServer: {enabled: true}}`, "nameServer.enabled needs manifests"},
		"manifests twice":      {`{cluster: a, nameServer: {enabled: true, configMap: m, manifests: {a.yaml: b}}}`, "one of them has the manifests"},
		"no manifest":          {`{cluster: a, nameServer: {manifests: {zone: b}}}`, "'zone' does not match"},
		"a name server's port": {`{cluster: a, listenerPorts: 5000-6000, nameServer: {enabled: true, configMap: m}}`, "listenerPorts"},
		"node port too high":   {`{cluster: a, tunnel: {service: {nodePorts: {tcp: 70000}}}}`, "/tunnel/service/nodePorts/tcp"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems, err := template(t, test.values)
			if err == nil || !strings.Contains(problems, test.want) {
				t.Errorf("%s: %v, said\n%s\nwant %q in it", test.values, err, problems, test.want)
			}
		})
	}
}
