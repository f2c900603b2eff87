package view

import (
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

func TestFormatPort(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]discovery.ServicePort{
		"80":      {Port: 80, Protocol: discovery.TCP, AppProtocol: "http"},
		"80/http": {Port: 80, Protocol: discovery.TCP, HTTP: true},
		"53/UDP":  {Port: 53, Protocol: discovery.UDP},
	} {
		if got := formatPort(p); got != want {
			t.Errorf("%+v is shown as %s, want %s", p, got, want)
		}
	}
}

// One word says what keeps connections away, and no row says two things that contradict each other.
func TestEndpointState(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, check string
		left          time.Duration
		want          string
	}{
		{"HEALTHY", "OK", 0, "HEALTHY"},
		{"HEALTHY", "", 0, "HEALTHY"},
		{"HEALTHY", "FAILED", 29*time.Second + 700*time.Millisecond, "EJECTED (30s left)"},
		{"HEALTHY", "FAILED", 0, "EJECTED"},
		{"HEALTHY", "PROBING", 0, "PROBING"},
		{"HEALTHY", "RAMPING", 0, "RAMPING"},
		{"NOT_READY", "FAILED", time.Minute, "NOT_READY"},
		{"TERMINATING", "OK", 0, "TERMINATING"},
		{"UNREACHABLE", "PROBING", 0, "UNREACHABLE"},
	} {
		e := status.Endpoint{Status: c.status, OutlierCheck: c.check, EjectedFor: c.left}
		if got := endpointState(&e); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// The kind is that of metrics; proxies of an older release do not report it.
func TestEndpointStateNamesTheKind(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]string{
		30 * time.Second: "EJECTED (consecutive_5xx, 30s left)",
		0:                "EJECTED (consecutive_5xx)",
	} {
		e := status.Endpoint{Status: status.Healthy, OutlierCheck: status.CheckFailed, EjectedFor: left, EjectionKind: "consecutive_5xx"}
		if got := endpointState(&e); got != want {
			t.Errorf("%v: %q, want %q", left, got, want)
		}
		e.OutlierCheck = status.CheckRamping
		if got := endpointState(&e); got != status.CheckRamping {
			t.Errorf("back: %q", got)
		}
	}
}

// What fails its health check has the reason, ejected or not.
func TestEndpointStateNamesTheReason(t *testing.T) {
	t.Parallel()
	for _, check := range []string{status.CheckOK, status.CheckFailed} {
		e := status.Endpoint{Status: status.FailedActiveHC, OutlierCheck: check, HealthCheck: "GET /healthz: 503"}
		if got := endpointState(&e); got != "FAILED_ACTIVE_HC (GET /healthz: 503)" {
			t.Errorf("%s: %q", check, got)
		}
	}
	e := status.Endpoint{Status: status.OutOfScope, HealthCheck: "GET /healthz: 503"}
	if got := endpointState(&e); got != status.OutOfScope {
		t.Errorf("out of scope: %q", got)
	}
}

func TestFormatPercent(t *testing.T) {
	t.Parallel()
	for p, want := range map[float64]string{0: "0%", 0.0001: "<0.1%", 0.05: "0.1%", 33.333: "33.3%", 50: "50%", 99.96: "100%", 100: "100%"} {
		if got := formatPercent(p); got != want {
			t.Errorf("%v: %s, want %s", p, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	got := limits([]status.Limit{{Name: "connections", Used: 3, Most: 16384}, {Name: "streams per peer", Most: 8192}})
	if want := "connections 3 of 16384, streams per peer 8192"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
