package interop

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/eastway/eastway/e2e/cluster/binaries"
)

// interopCases are those that the interop client lists (github.com/grpc/grpc/doc/interop-test-descriptions.md) and that need no
// credentials, and its soak tests, which it does not list. The server has no ID for pick_first_unary.
func interopCases(t *testing.T, client string) []string {
	t.Helper()
	usage, err := exec.CommandContext(t.Context(), client, "-help").CombinedOutput()
	must(t, err)
	_, list, found := strings.Cut(string(usage), "-test_case string")
	if !found {
		t.Fatalf("the interop client lists no cases: %s", usage)
	}
	list, _, _ = strings.Cut(list, "\n  -")
	cases := []string{"rpc_soak", "channel_soak"}
	for _, m := range regexp.MustCompile(`(?m)^\s+([a-z0-9_]+) ?: `).FindAllStringSubmatch(list, -1) {
		if name := m[1]; !needsCredentials(name) && name != "pick_first_unary" {
			cases = append(cases, name)
		}
	}
	const least = 18
	if len(cases) < least {
		t.Fatalf("%d cases, want at least %d: %v", len(cases), least, cases)
	}
	return cases
}

func needsCredentials(name string) bool {
	return slices.ContainsFunc([]string{"creds", "credentials", "auth_token"}, func(part string) bool { return strings.Contains(name, part) })
}

// interopPrograms is the folder of gRPC's interop client and server.
func interopPrograms(t *testing.T) string {
	t.Helper()
	folder, err := binaries.Builder{Progress: os.Stderr}.Programs(t.Context(), binaries.GRPCInterop)
	must(t, err)
	return folder
}

// newInteropServer runs gRPC's interop server, which listens on all addresses of the machine, and returns one of them.
func newInteropServer(t *testing.T) (address string) {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	server := start(t, dir, "grpc-server", filepath.Join(interopPrograms(t), "server"), "-port", port)
	address = net.JoinHostPort(newAddress(), port)
	eventually(t, "gRPC's interop server listens", server, func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return address
}

// freePort is below the ports that kernels choose for outgoing connections.
func freePort(t *testing.T) string {
	t.Helper()
	const first, ports = 20000, 10000
	for i := range ports {
		port := strconv.Itoa(first + (os.Getpid()+i)%ports)
		if l, err := net.Listen("tcp", ":"+port); err == nil {
			must(t, l.Close())
			return port
		}
	}
	t.Fatalf("none of the ports %d-%d is free", first, first+ports-1)
	return ""
}

// testGRPC runs the interop client's cases, several at a time, against the service.
func testGRPC(t *testing.T, s service) {
	client := filepath.Join(interopPrograms(t), "client")
	host, port, err := net.SplitHostPort(s.near)
	must(t, err)
	for _, name := range interopCases(t, client) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output(t, "", client, "-server_host", host, "-server_port", port, "-test_case", name,
				"-service_config_json", `{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`, // for orca_
				"-soak_iterations", "100", "-soak_num_threads", "4", "-soak_overall_timeout_seconds", strconv.Itoa(int(patience.Seconds())),
				"-soak_per_iteration_max_acceptable_latency_ms", strconv.Itoa(int(patience.Milliseconds())))
		})
	}
}
