package peering

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manifestOf is what a cluster of that name exports.
func manifestOf(t testing.TB, name string, addresses ...string) string {
	t.Helper()
	td, err := certs.DefaultTrustDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		t.Fatal(err)
	}
	return yamlOf(t, ca, name, addresses...)
}

func yamlOf(t testing.TB, ca *certs.CA, name string, addresses ...string) string {
	t.Helper()
	id, err := certs.ClusterID(ca.TrustDomain(), name)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	if err != nil {
		t.Fatal(err)
	}
	peer := &v1alpha1.Peer{Spec: v1alpha1.PeerSpec{SPIFFEID: id.String(), TrustBundle: string(bundle), Addresses: addresses}}
	peer.Name = name
	m, err := New(peer)
	if err != nil {
		t.Fatal(err)
	}
	data, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t *testing.T, manifest string) Manifest {
	t.Helper()
	m, err := Parse([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParse(t *testing.T) {
	t.Parallel()
	good := manifestOf(t, "b", "b.example.com:1")
	m := parse(t, "# a comment\n---\n"+good)
	if m.Identity.Name != "b" || m.Peer.Spec.Addresses[0] != "b.example.com:1" {
		t.Errorf("%+v", m)
	}
	with := func(old, replacement string) string { return strings.Replace(good, old, replacement, 1) }
	for name, c := range map[string]struct{ manifest, text string }{
		"no YAML":         {"spec: [", "not a Peer manifest: line 1: invalid YAML: "},
		"a word":          {"garbage", "line 1: not an object"},
		"a list":          {"[1, 2]", "line 1: not an object"},
		"JSON of another": {`{"kind": 7}`, `it is a "7" of ""`},
		"no kind":         {"{}", "it has neither apiVersion nor kind"},
		"nothing":         {"# nothing\n", "0 objects"},
		"two":             {good + "---\n" + good, "2 objects"},
		"another kind":    {with("kind: Peer", "kind: Pear"), "expected a Peer"},
		"unknown field":   {with("spec:", "spec:\n  color: red"), "line 6: spec.color: unknown field"},
		"twice":           {with("spec:", "spec: {}\nspec:"), "spec: set twice"},
		"number":          {with("  addresses:\n  - b.example.com:1\n", "  addresses: 7\n"), "spec.addresses: number where a list is expected"},
		"list for object": {with("metadata:", "status: []\nmetadata:"), "status: array where an object (PeerStatus) is expected"},
		"broken bundle":   {with("MII", "MIX"), "spec.trustBundle"},
		"ID of another":   {with("cluster/b", "cluster/c"), "spec.spiffeID"},
		"broken address":  {with("b.example.com:1", "nix"), "spec.addresses[0]"},
		"its own rights":  {with("spec:", "spec:\n  exports: {allow: ['*/*']}"), "spec.exports: the cluster that imports the Peer decides that"},
		"its own quota":   {with("spec:", "spec:\n  quota: {services: 9}"), "spec.quota: the cluster that imports the Peer decides that"},
		"its own imports": {with("spec:", "spec:\n  imports: {allow: ['*/*']}"), "spec.imports: the cluster that imports the Peer decides that"},
		"its own denials": {with("spec:", "spec:\n  denied: [{serial: AB}]"), "spec.denied: the cluster that imports the Peer decides that"},
		"long":            {with("spec:", "spec:\n  "+strings.Repeat("x", 1000)+": 1"), "…: unknown field"},
	} {
		_, err := Parse([]byte(c.manifest))
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
			continue
		}
		for _, leak := range []string{"Go value", "Go struct", "v1alpha1.", "json:", "\n"} {
			if strings.Contains(strings.ReplaceAll(err.Error(), v1alpha1.GroupVersion, ""), leak) {
				t.Errorf("%s: the error contains %q: %v", name, leak, err)
			}
		}
	}
}

// What a cluster learned or made of a Peer is not another cluster's business.
func TestParseDropsWhatIsNotTheUsers(t *testing.T) {
	t.Parallel()
	good := manifestOf(t, "b")
	got := parse(t, strings.Replace(good, "metadata:",
		"status: {lanes: 4}\nmetadata:\n  uid: x\n  resourceVersion: \"7\"\n  labels: {a: b}", 1))
	if got.Peer.Status.Lanes != 0 || got.Peer.UID != "" || got.Peer.ResourceVersion != "" || got.Peer.Labels["a"] != "b" {
		t.Errorf("%+v", got.Peer)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	old := parse(t, manifestOf(t, "b", "b.example.com:1"))
	if got := old.Changes(old.Peer); len(got) != 0 {
		t.Errorf("of itself: %q", got)
	}
	renewed := parse(t, manifestOf(t, "b")).Changes(old.Peer)
	for i, want := range []string{"new root", "dropped root", "addresses: none, were b.example.com:1"} {
		if i >= len(renewed) || !strings.Contains(renewed[i], want) {
			t.Errorf("line %d of %q, want %q", i, renewed, want)
		}
	}
	spaced := *old.Peer
	spaced.Spec.TrustBundle = "\n" + spaced.Spec.TrustBundle
	if got := old.Changes(&spaced); len(got) != 1 || !strings.Contains(got[0], "same roots") {
		t.Errorf("written otherwise: %q", got)
	}
}

// What this cluster decided stays when a newer manifest is imported, and is no change.
func TestKeep(t *testing.T) {
	t.Parallel()
	m := parse(t, manifestOf(t, "b", "b.example.com:1"))
	old := m.Peer.DeepCopy()
	old.Spec.Exports = &v1alpha1.ExportRules{Deny: []string{"bank/*"}}
	old.Spec.Imports = &v1alpha1.ImportRules{Allow: []string{"shop/*"}}
	old.Spec.Denied = []v1alpha1.Denied{{Serial: "AB"}}
	old.Spec.Quota = &v1alpha1.ImportQuota{Services: 9}
	old.Spec.Localities = []string{"eu-west"}
	kept := m.Keep(old)
	got := kept.Peer.Spec
	if got.Exports != old.Spec.Exports || got.Imports != old.Spec.Imports || got.Quota != old.Spec.Quota || m.Peer.Spec.Exports != nil ||
		len(got.Denied) != 1 {
		t.Errorf("kept %+v of %+v", got, m.Peer.Spec)
	}
	if !slices.Equal(got.Localities, old.Spec.Localities) || len(m.Peer.Spec.Localities) > 0 {
		t.Errorf("kept %q", got.Localities)
	}
	if got := m.Changes(old); len(got) != 0 {
		t.Errorf("changes: %q", got)
	}
	moved := parse(t, manifestOf(t, "b", "b.example.com:1"))
	moved.Peer.Spec.Localities = []string{"us-east"}
	if got := moved.Changes(old); !slices.Contains(got, "peer b: localities: us-east, were eu-west") {
		t.Errorf("changes: %q", got)
	}
	if got := moved.Keep(old).Peer.Spec.Localities; !slices.Equal(got, moved.Peer.Spec.Localities) {
		t.Errorf("those of the new manifest became %q", got)
	}
}

func TestTaken(t *testing.T) {
	t.Parallel()
	m := parse(t, manifestOf(t, "b"))
	other := *m.Peer
	other.Spec.SPIFFEID = "spiffe://other.test/eastway/cluster/b"
	if err := m.Taken(&other, "here"); err == nil || !strings.Contains(err.Error(), `"b" is taken: in here it is spiffe://other.test`) {
		t.Error(err)
	}
	if m.Taken(m.Peer, "here") != nil || m.Taken(nil, "") != nil {
		t.Error("its own name is taken")
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	if got := parse(t, manifestOf(t, "b", "b.example.com:1")).Notes(); len(got) != 0 {
		t.Errorf("%q", got)
	}
	if got := parse(t, manifestOf(t, "b")).Notes(); len(got) != 1 || !strings.Contains(got[0], "cannot be dialed") {
		t.Errorf("without address: %q", got)
	}
	rootDir, dir := t.TempDir(), t.TempDir()
	root, err := certs.OpenRoot(rootDir, true, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	td, err := certs.DefaultTrustDomain("b")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := root.SignCA(dir, certs.Options{TrustDomain: td})
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, yamlOf(t, ca, "b", "b.example.com:1")).Notes()
	if len(got) != 1 || !strings.Contains(got[0], "not held to the trust domain b.eastway.internal") {
		t.Errorf("below a shared root: %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("apiVersion: eastway.dev/v1alpha1\nkind: Peer\nmetadata:\n  name: b\n---\nkind: Service\n"))
	f.Add([]byte("---\n---\n#\n---"))
	f.Add([]byte("{\"kind\": \"Peer\"}"))
	f.Add([]byte("apiVersion: eastway.dev/v1alpha1\nkind: Peer\nspec: 7\n"))
	f.Add([]byte(manifestOf(f, "b")))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		again, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := Parse(again); err != nil || len(n.Changes(m.Peer)) != 0 {
			t.Fatalf("written and read again: %v", err)
		}
	})
}
