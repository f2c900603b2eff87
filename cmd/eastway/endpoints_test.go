package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/admin/view"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/status"
)

func testEndpoints() []status.Endpoint {
	return []status.Endpoint{
		{
			Address: "127.1.1.3:8000", Cluster: "cn-hangzhou", Port: 8000, Region: "cn-hangzhou", Zone: "cn-hangzhou-h",
			Level: 0, Status: "HEALTHY", OutlierCheck: "FAILED", EjectedFor: 4 * time.Minute, RTT: 300 * time.Microsecond,
		},
		{
			Address: "127.1.2.3:8000", Cluster: "cn-hangzhou", Port: 8000, Region: "cn-hangzhou", Zone: "cn-hangzhou-k",
			Level: 1, Status: "NOT_READY", OutlierCheck: "OK",
		},
		{
			Address: "ap-northeast-1", Cluster: "ap-northeast-1", Port: 8000, Region: "ap-northeast-1",
			Level: 3, Status: "HEALTHY", OutlierCheck: "OK", Active: 12, RTT: 31 * time.Millisecond,
		},
	}
}

func TestPrintEndpoints(t *testing.T) {
	t.Parallel()
	severalPorts := append(testEndpoints(), status.Endpoint{
		Address: "ap-northeast-1", Cluster: "ap-northeast-1", Port: 9000, Level: 3,
		Status: "UNREACHABLE", OutlierCheck: "PROBING",
	})
	tests := map[string][]status.Endpoint{
		"endpoints.txt":       testEndpoints(),
		"endpoints-ports.txt": severalPorts,
		"endpoints-none.txt":  nil,
		"endpoints-external.txt": {
			{
				Address: "192.0.2.1:443", Host: "db.cn-hangzhou.example.com", Cluster: "cn-hangzhou", Port: 80, Region: "cn-hangzhou",
				Level: 1, Status: "HEALTHY",
			},
			{Address: "198.51.100.1:443", Cluster: "cn-hangzhou", Port: 80, Region: "ap-northeast-1", Level: 1, Status: "HEALTHY"},
		},
	}
	for file, endpoints := range tests {
		var b bytes.Buffer
		if err := view.Endpoints(&b, view.Source{}, endpoints); err != nil {
			t.Fatal(err)
		}
		golden(t, file, b.Bytes())
	}
}

func TestEndpointsCommand(t *testing.T) {
	t.Parallel()
	address := startAdmin(t)
	for _, args := range []string{
		"mockb", "mockb -n default", "default/mockb", "default/mockb -n default", "mockb.default",
		"svc/mockb", "mockb:8000", "mockb.default.svc.clusterset.local:8000",
	} {
		got := runCommand(t, append([]string{"endpoints", "--admin", address}, strings.Fields(args)...)...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("endpoints %s: %+v", args, got)
		}
		golden(t, "endpoints.txt", []byte(got.stdout))
	}
	if got := runCommand(t, "endpoints", "--admin", address, "mockb:9"); got.code != command.NotFound ||
		got.stdout != "" || !strings.Contains(got.stderr, "default/mockb has no endpoints for a port 9") {
		t.Errorf("of another port: %+v", got)
	}
	got := runCommand(t, "endpoints", "--admin", address, "mockb", "-o", "json")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("endpoints -o json: %+v", got)
	}
	golden(t, "endpoints.json", []byte(got.stdout))
}

func TestEndpointsOfUnknownService(t *testing.T) {
	t.Parallel()
	address := startAdmin(t)
	for args, name := range map[string]string{
		"nope":               "default/nope",
		"mockb -n shop":      "shop/mockb",
		"a&b/c?d=e#f -ojson": "a&b/c?d=e#f",
	} {
		got := runCommand(t, append([]string{"endpoints", "--admin", address}, strings.Fields(args)...)...)
		want := result{code: 4, stderr: "eastway: endpoints: no such service: " + name + "\n"}
		if got != want {
			t.Errorf("endpoints %s = %+v, want %+v", args, got, want)
		}
	}
}

func TestEndpointsCompletion(t *testing.T) {
	t.Parallel()
	got := runCommand(t, "__complete", "endpoints", "--admin", startAdmin(t), "")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "default/mockb\nshop/cart\n") {
		t.Errorf("completion offered %+v", got)
	}
}
