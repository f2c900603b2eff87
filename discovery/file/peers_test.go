package file

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery"
)

func peer(name string) string {
	return fmt.Sprintf("apiVersion: eastway.dev/v1alpha1\nkind: Peer\nmetadata: {name: %s}\n"+
		"spec: {spiffeID: spiffe://%[1]s.example/eastway/cluster/%[1]s, trustBundle: PEM}\n", name)
}

// Trust ends with the Peer, whatever else its file holds.
func TestPeerIsDeletedBesideForeignKinds(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]string{
		"Deployment": foreign,
		"Namespace":  "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n",
		"Secret":     "apiVersion: v1\nkind: Secret\nmetadata: {name: b}\n",
		"CRD":        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: peers.eastway.dev}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := config(dir)
			s := newStore(&cfg)
			for _, step := range []struct {
				text string
				want int
			}{{peer("a") + "---\n" + other + "---\n" + peer("b"), 2}, {peer("a") + "---\n" + other, 1}} {
				write(t, dir, "all.yaml", step.text)
				local, errs, err := s.load()
				if err != nil || len(local.Peers) != step.want || local.Peers["a"] == nil {
					t.Errorf("peers %v, want %d; %v, %v", local.Peers, step.want, errs, err)
				}
			}
		})
	}
}

// Trust does not end with a typing error.
func TestPeerIsKept(t *testing.T) {
	t.Parallel()
	good := peer("b")
	spaced := strings.Replace(good, "{name: b}", "{name: b, namespace: eastway}", 1)
	for name, tt := range map[string]struct{ before, from, to string }{
		"a field twice": {good, "spec: {", "spec: {trustBundle: X, "},
		"a field twice, in a Peer with a namespace":   {spaced, "spec: {", "spec: {trustBundle: X, "},
		"kind mistyped, in a Peer with a namespace":   {spaced, "kind: Peer", "kind: peer"},
		"a newer version, in a Peer with a namespace": {spaced, "v1alpha1", "v1beta1"},
		"apiVersion without a version":                {good, "eastway.dev/v1alpha1", "eastway.dev"},
		"apiVersion without a group":                  {good, "eastway.dev/v1alpha1", "v1alpha1"},
		"apiVersion of another domain":                {good, "eastway.dev/v1alpha1", "eastway.io/v1alpha1"},
		"apiVersion with an incomplete group":         {good, "eastway.dev/v1alpha1", "eastway/v1alpha1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := config(dir)
			s := newStore(&cfg)
			for _, text := range []string{tt.before, strings.Replace(tt.before, tt.from, tt.to, 1)} {
				write(t, dir, "peer-b.yaml", text)
				if local, errs, err := s.load(); err != nil || local.Peers["b"] == nil {
					t.Errorf("Peer b is gone: %v, %v, from %s", errs, err, text)
				}
			}
		})
	}
}

// What Peers finds is what a Source finds.
func TestPeers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSuffix(peer("listed"), "\n"), "\n", "\n  ") + "\n"
	for name, text := range map[string]string{
		"a.YAML":        service("x", 80) + "--- # a note\n" + peer("second"),
		"b.yml":         list,
		"c.yaml":        peer("no"), // a string in YAML 1.2
		"d.yaml":        peer("no"),
		"e.yaml":        strings.Replace(peer("colored"), "spec: {", "spec: {color: red, ", 1),
		"f.yaml":        "kind: [\n",
		"g.yaml":        foreign,
		".hidden.yaml":  peer("hidden"),
		"h.yaml.backup": peer("backup"),
	} {
		write(t, dir, name, text)
	}
	cfg := config(dir)
	peers, errs, err := Peers(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var got, used []string
	for _, p := range peers {
		got = append(got, fmt.Sprintf("%s %s used=%t alone=%t", filepath.Base(p.File), p.Name, p.Used, p.Alone))
		if p.Used {
			used = append(used, p.Name)
		}
	}
	want := []string{
		"a.YAML second used=true alone=false", "b.yml listed used=true alone=true", "c.yaml no used=true alone=true",
		"d.yaml no used=false alone=true", "e.yaml colored used=false alone=true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var texts []string
	for _, e := range errs {
		texts = append(texts, e.Error())
	}
	for i, want := range []string{
		".hidden.yaml: warning: hidden files are not read",
		"d.yaml:3: document 1: metadata.name: Peer no is already", "e.yaml:4: document 1: spec.color: unknown field", "f.yaml:",
	} {
		if i >= len(texts) || !strings.HasPrefix(texts[i], want) {
			t.Errorf("error %d of %q, want %q", i, texts, want)
		}
	}
	local, _, err := newStore(&cfg).load()
	if err != nil || len(local.Peers) != len(used) {
		t.Errorf("a Source uses %v, Peers says %v; %v", local.Peers, used, err)
	}
}

func TestIgnoredFilesAreLoggedOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	dir := t.TempDir()
	write(t, dir, ".hidden.yaml", peer("b"))
	write(t, dir, "notes.txt", "")
	write(t, dir, "a.yaml~", "")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, dir, func(c *Config) { c.Log = zap.New(core) })
	write(t, dir, "a.yaml", service("a", 80))
	s.await("another reading", has(discovery.ServiceName{Namespace: "default", Name: "a"}))
	write(t, dir, "b.yaml", "{")
	s.awaitErrors("one more", func(errs []FileError) bool { return len(errs) == 1 })
	var got []string
	for _, e := range logs.FilterMessage("file is ignored").All() {
		got = append(got, e.ContextMap()["file"].(string))
	}
	if want := []string{".hidden.yaml", "fifo.yaml", "notes.txt"}; !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

// A Service that is here is answered by peers only if its owner has consented, by the same objects as on Kubernetes: a ServiceExport, or the
// annotation of a takeover. One that comes or goes holds at the next reading.
func TestConsent(t *testing.T) {
	t.Parallel()
	service, slice, _ := strings.Cut(echoYAML, "---\n")
	slice, export, _ := strings.Cut(slice, "---\n")
	with := func(manifest, annotation string) string {
		return strings.Replace(manifest, "namespace: demo}", "namespace: demo, annotations: {eastway.dev/"+annotation+"}}", 1)
	}
	dir := t.TempDir()
	s := newStore(&Config{Dir: dir})
	for _, step := range []struct {
		name, service, export string
		private               bool
	}{
		{"neither", service, "", true},
		{"exported", service, export, false},
		{"exported to one peer", service, with(export, "export-to: b"), false},
		{"no longer exported", service, "", true},
		{"taken over", with(service, `takeover: "true"`), "", false},
		{"not taken over", with(service, `takeover: "false"`), "", true},
		{"a rule with a typing error", service, with(export, "export-too: b"), true},
		{"an export that is not valid, and never was", service, with(export, `export-to: ""`), true},
	} {
		write(t, dir, "echo.yaml", step.service+"---\n"+slice+"---\n"+step.export)
		local, errs, err := s.load()
		if err != nil {
			t.Fatal(err)
		}
		const stranger = "metadata.annotations[eastway.dev/export-to]: there is no Peer b here: the service is exported to it once there is one"
		if warned := strings.Contains(fmt.Sprint(errs), stranger); warned != (step.name == "exported to one peer") {
			t.Errorf("%s: %v", step.name, errs)
		}
		got := local.Services.Get(discovery.ServiceName{Namespace: "demo", Name: "echo"})
		if got == nil || len(got.Endpoints) == 0 || got.Private != step.private {
			t.Errorf("%s: %+v, want private %v", step.name, got, step.private)
		}
	}
}
