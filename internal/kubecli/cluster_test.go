package kubecli

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/kubecli/kubetest"
)

func TestMain(m *testing.M) {
	// Of a SPDY connection that the other side closed first this remains for a second.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

func newServer(t *testing.T) *kubetest.Server {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	return kubetest.New(t, scheme)
}

func open(t *testing.T, name string, s *kubetest.Server) *Cluster {
	t.Helper()
	c, err := Open(Options{Kubeconfig: kubetest.Kubeconfig(t, map[string]*kubetest.Server{name: s})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// is checks kind and words of an error.
func is(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %v, want %v with %q", err, kind, text)
	}
	if err != nil && strings.ContainsRune(err.Error(), '\n') {
		t.Errorf("more than one line: %q", err)
	}
}

func TestOpenWithoutConfig(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	t.Setenv("KUBECONFIG", missing)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if !Configured(Options{}) {
		t.Error("$KUBECONFIG is set and does not count")
	}
	_, err := Open(Options{})
	is(t, err, ErrNoConfig, "KUBECONFIG is \""+missing+"\", and nothing is there")
	_, err = Open(Options{Kubeconfig: "/nonexistent/config"})
	is(t, err, ErrNoConfig, "there is no /nonexistent/config")
}

func TestOpenUnknownContext(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	file := kubetest.Kubeconfig(t, map[string]*kubetest.Server{"east": s, "west": s})
	_, err := Open(Options{Kubeconfig: file, Context: "north"})
	is(t, err, ErrUnknownContext, `"north": the kubeconfig has east, west`)
	contexts, err := Contexts(Options{Kubeconfig: file})
	if err != nil || strings.Join(contexts, " ") != "east west" || !Configured(Options{Kubeconfig: file}) {
		t.Errorf("contexts %q, %v", contexts, err)
	}
	c, err := Open(Options{Kubeconfig: file})
	if err != nil || c.Context != "east" || c.Namespace != DefaultNamespace || c.Release != DefaultRelease || c.Server != s.URL {
		t.Errorf("%+v, %v", c, err)
	}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("{{{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Kubeconfig: broken}); err == nil || !strings.Contains(err.Error(), "read the kubeconfig") {
		t.Errorf("broken file: %v", err)
	}
}

func TestErrorsOfTheAPIServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	s.Forbid("list", "pods")
	_, err := c.Pods(t.Context(), Proxy)
	is(t, err, ErrForbidden, `find the proxy pods: not permitted: pods is forbidden: User "tester"`)
	s.Drop("eastway.dev/v1alpha1/peers")
	_, err = c.Peers(t.Context())
	is(t, err, ErrNoKind, "list Peers: the CRD is missing in context east")
	_, err = c.Peer(t.Context(), "b")
	is(t, err, ErrNoKind, "read Peer b")
	_, err = c.Pod(t.Context(), "nope")
	is(t, err, ErrNotFound, `pods "nope" not found`)

	l, err := net.Listen("tcp", "127.99.0.3:0")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + l.Addr().String()
	l.Close()
	_, err = open(t, "east", s).Pods(t.Context(), Proxy)
	is(t, err, ErrUnreachable, s.URL+" cannot be reached: connection refused")
}

// A long release's objects are called as the chart calls them.
func TestObjectNames(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("a", 44)
	for release, want := range map[string]string{
		"eastway": "eastway-proxy", fits + "b": fits + "b-proxy", fits + "bc": fits + "b-proxy", fits + "-bc": fits + "-proxy",
	} {
		if got := (&Cluster{Release: release}).object("proxy").Name; got != want {
			t.Errorf("release %s: %s, want %s", release, got, want)
		}
	}
}
