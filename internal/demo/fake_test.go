package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

// childVariable in the environment makes this test binary behave as an eastway
// binary with a proxy that is a plain relay; its value is the kind of relay.
const childVariable = "EASTWAY_DEMO_TEST_CHILD"

const (
	childGood   = "failover"    // tries own zone, own cluster, other cluster
	childBad    = "no-failover" // knows its own zone only
	childBroken = "dies"        // the proxy ends at once
)

func TestMain(m *testing.M) {
	kind := os.Getenv(childVariable)
	if kind == "" {
		goleak.VerifyTestMain(m)
		return
	}
	//nolint:forbidigo // this is main
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := child(ctx, kind, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// flagsOf reads "--name value" pairs; a name may occur more than once.
func flagsOf(args []string) map[string][]string {
	flags := make(map[string][]string)
	for i := 0; i+1 < len(args); i++ {
		if len(args[i]) > 2 && args[i][:2] == "--" {
			flags[args[i][2:]] = append(flags[args[i][2:]], args[i+1])
		}
	}
	return flags
}

func child(ctx context.Context, kind string, args []string) error {
	flags := flagsOf(args)
	one := func(name string) string { return append(flags[name], "")[0] }
	switch {
	case args[0] == "certs":
		return os.MkdirAll(one("dir"), 0o700)
	case args[0] == "peer" && args[1] == "export":
		fmt.Println("peer", one("cluster"), flags["address"])
		return nil
	case args[0] == "peer":
		data, err := os.ReadFile(args[2])
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(one("config"), "peer.yaml"), data, 0o600)
	case args[0] == "proxy" && kind == childBroken:
		return errors.New("no space left on device")
	case args[0] == "proxy":
		return relay(ctx, kind, one("zone"), netip.MustParseAddrPort(one("listen")), one("access-log"))
	case args[0] == "demo":
		doors := make(chan os.Signal, 1)
		signal.Notify(doors, syscall.SIGUSR1, syscall.SIGUSR2)
		return RunApp(ctx, AppOptions{
			Name: one("name"), Zone: one("zone"), Listen: one("listen"),
			UpstreamURL: one("upstream-url"), Routes: one("routes"), Executions: one("executions"),
		}, doors)
	}
	return fmt.Errorf("unknown command %q", args)
}

// relay is a proxy without tunnels: it dials the other cluster's applications.
func relay(ctx context.Context, kind, zoneName string, listen netip.AddrPort, accessLog string) error {
	log, err := os.OpenFile(accessLog, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	base := listen.Addr().As4()[1]
	if slices.Contains(newTopology(base-1).cluster(foreignCluster).zoneNames(), zoneName) {
		base--
	}
	t := newTopology(base)
	var own zone
	for _, z := range t.zones() {
		if z.name == zoneName {
			own = z
		}
	}
	order := []zone{own}
	if kind == childGood {
		for _, z := range append(t.cluster(own.cluster).zones, t.zones()...) {
			if !slices.ContainsFunc(order, func(o zone) bool { return o.name == z.name }) {
				order = append(order, z)
			}
		}
	}
	proxy := proxyRoles()[listen.Addr().As4()[3]-hostFirstProxy]
	for _, role := range chain() {
		l, err := net.Listen("tcp4", own.vip(proxy, role).String())
		if err != nil {
			return err
		}
		go relayLoop(l, log, role, order)
	}
	mux := http.NewServeMux()
	mux.HandleFunc(admin.PathReadyz, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc(admin.PathEndpoints, func(w http.ResponseWriter, _ *http.Request) {
		peer := status.Unreachable
		for _, z := range t.zones() {
			if z.cluster != own.cluster && (answers(z.admin(roleProxy1)) || answers(z.admin(roleProxy2))) {
				peer = status.Healthy
			}
		}
		_ = json.NewEncoder(w).Encode(admin.ServiceEndpoints{Endpoints: []status.Endpoint{
			{Address: "127.0.0.1:1", Status: status.NotReady}, {Address: "peer", Status: peer},
		}})
	})
	srv := &http.Server{Addr: own.admin(proxy).String(), Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	return srv.ListenAndServe()
}

// answers reports whether a process does, and not only exists.
func answers(at netip.AddrPort) bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + at.String() + admin.PathReadyz)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func relayLoop(l net.Listener, log io.Writer, role string, order []zone) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			for _, z := range order {
				out, err := net.Dial("tcp4", z.app(role).String())
				if err != nil {
					continue
				}
				go func() {
					_, _ = io.Copy(out, in)
					_ = out.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(in, out)
				_ = out.Close()
				return
			}
			fmt.Fprintf(log, "{\"caller\":%q,\"service\":%q,\"end\":\"no endpoint\"}\n", in.RemoteAddr(), role)
			_ = in.(*net.TCPConn).SetLinger(0)
		}()
	}
}
