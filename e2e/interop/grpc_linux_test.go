package interop

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/eastway/eastway/e2e/cluster/binaries"
)

// interopCases are those of grpc-go's interop client that need no credentials: github.com/grpc/grpc/doc/interop-test-descriptions.md.
// grpc-go has no client_compressed_unary and the like, and its server no ID for pick_first_unary.
func interopCases() []string {
	return []string{
		"empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream", "timeout_on_sleeping_server",
		"cancel_after_begin", "cancel_after_first_response", "status_code_and_message", "special_status_message", "custom_metadata",
		"unimplemented_method", "unimplemented_service", "orca_per_rpc", "orca_oob", "rpc_soak", "channel_soak",
	}
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
	for _, name := range interopCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output(t, "", client, "-server_host", host, "-server_port", port, "-test_case", name,
				"-service_config_json", `{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`, // for orca_
				"-soak_iterations", "100", "-soak_num_threads", "4", "-soak_overall_timeout_seconds", strconv.Itoa(int(patience.Seconds())),
				"-soak_per_iteration_max_acceptable_latency_ms", strconv.Itoa(int(patience.Milliseconds())))
		})
	}
}
