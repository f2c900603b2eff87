package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func wantHeader(resource string) header {
	return header{Cluster: ownCluster, Namespace: ownNamespace, Resource: resource}
}

// peersFile is a good file with two Peers.
func peersFile(t testing.TB) []byte {
	t.Helper()
	h := wantHeader("peers")
	h.Saved = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var peers []metav1.Object
	for _, n := range []string{"b", "c"} {
		id := fmt.Sprintf("spiffe://%s/eastway/cluster/%[1]s", n)
		peers = append(peers, &v1alpha1.Peer{
			ObjectMeta: metav1.ObjectMeta{Name: n}, Spec: v1alpha1.PeerSpec{SPIFFEID: id, TrustBundle: "PEM<&>\n"},
		})
	}
	data, err := encodeSnapshot(h, peers)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// resealed has edits made to the body, and the checksum that goes with them.
func resealed(t testing.TB, data []byte, edit func(h *header, body []byte) []byte) []byte {
	t.Helper()
	first, body, _ := bytes.Cut(data, []byte("\n"))
	var h header
	if err := json.Unmarshal(first, &h); err != nil {
		t.Fatal(err)
	}
	body = edit(&h, body)
	sum := sha256.Sum256(body)
	h.SHA256 = hex.EncodeToString(sum[:])
	first, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(first, '\n'), body...)
}

func TestSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	good := peersFile(t)
	reseal := func(edit func(h *header, body []byte) []byte) []byte { return resealed(t, good, edit) }
	for name, test := range map[string]struct {
		data []byte
		want string // of the error; empty: none
	}{
		"good":        {good, ""},
		"empty":       {nil, "does not begin with a header"},
		"no header":   {[]byte("nonsense\n"), "its header"},
		"long header": {append([]byte(strings.Repeat(" ", maxSnapshotHeader)), good...), "does not begin with a header"},
		"truncated":   {good[:len(good)-10], "checksum"},
		"damaged":     {bytes.Replace(good, []byte("PEM"), []byte("PET"), 1), "checksum"},
		"more behind": {append(bytes.Clone(good), "{}\n"...), "checksum"},
		"format":      {reseal(func(h *header, b []byte) []byte { h.Format = 2; return b }), "format is 2"},
		"cluster":     {reseal(func(h *header, b []byte) []byte { h.Cluster = "there"; return b }), `cluster "there"`},
		"namespace":   {reseal(func(h *header, b []byte) []byte { h.Namespace = "other"; return b }), `namespace "other"`},
		"resource":    {reseal(func(h *header, b []byte) []byte { h.Resource = "nodes"; return b }), `holds "nodes"`},
		"count":       {reseal(func(h *header, b []byte) []byte { h.Objects = 1 << 40; return b }), "says to hold"},
		"fewer":       {reseal(func(h *header, b []byte) []byte { h.Objects = 3; return b }), "fewer objects"},
		"more":        {reseal(func(h *header, b []byte) []byte { h.Objects = 1; return b }), "more objects"},
		"no JSON":     {reseal(func(_ *header, _ []byte) []byte { return []byte("{}\n{\n") }), "object 2"},
		"other types": {reseal(func(_ *header, _ []byte) []byte { return []byte("{}\n{\"spec\":1}\n") }), "object 2"},
	} {
		seen := 0
		_, err := decodeSnapshot(bytes.NewReader(test.data), wantHeader("peers"),
			func() metav1.Object { return &v1alpha1.Peer{} }, func(metav1.Object) { seen++ })
		switch {
		case test.want == "" && (err != nil || seen != 2):
			t.Errorf("%s: %d objects, %v", name, seen, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || seen > 0):
			t.Errorf("%s: %d objects, %v, want %q", name, seen, err, test.want)
		}
		if foreign := name == "cluster" || name == "namespace"; errors.Is(err, errForeign) != foreign {
			t.Errorf("%s: foreign is %v", name, !foreign)
		}
	}
}

// FuzzSnapshot: whatever a file holds, it is refused, or makes a world that can be described.
func FuzzSnapshot(f *testing.F) {
	all := resources(ownNamespace)
	l := newLab(f, testConfig())
	l.apply(join(nodesYAML, shopYAML, shopSlice, shopSlice6, shopExport, peerYAML("b", 1), policyYAML("p", "shop", 1, 1),
		derivedYAML("d", "import", 20001, 1, nil)))
	base := map[string][]any{}
	for i, t := range l.tables {
		base[t.name] = everything(t)
		t.synced = true
		data, err := encodeSnapshot(wantHeader(t.name), t.forSaving())
		if err != nil {
			f.Fatal(err)
		}
		first, body, _ := bytes.Cut(data, []byte("\n"))
		f.Add(uint8(i), first, body)
		f.Add(uint8(i), []byte{}, body)
	}
	f.Fuzz(func(t *testing.T, kind uint8, first, body []byte) {
		r := all[int(kind)%len(all)]
		data := append(append(bytes.Clone(first), '\n'), body...)
		if len(first) == 0 { // a header that fits
			h := wantHeader(r.name)
			h.Format, h.Objects = snapshotFormat, bytes.Count(body, []byte("\n"))
			head, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			data = resealed(t, append(append(head, '\n'), body...), func(_ *header, b []byte) []byte { return b })
		}
		var found []metav1.Object
		saved, err := decodeSnapshot(bytes.NewReader(data), wantHeader(r.name), r.empty, func(o metav1.Object) { found = append(found, o) })
		if err != nil {
			if len(found) > 0 {
				t.Fatalf("%d objects of a file that is refused: %v", len(found), err)
			}
			return
		}
		table := l.tables[int(kind)%len(all)]
		table.restore(found, saved)
		l.state()
		l.problems()
		table.convert = own[metav1.Object] // what is in a table is typed already
		must(t, table.Replace(slices.Clone(base[table.name]), "1"))
	})
}

// copyOf is a new directory with the same files.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	into := t.TempDir()
	must(t, os.CopyFS(into, os.DirFS(dir)))
	return into
}

// A proxy that starts while the API server is away serves what was known; each kind is used until that kind is there.
func TestRestartDuringOutage(t *testing.T) {
	t.Parallel()
	api := startAPIServer(t)
	api.apply(join(nodesYAML, shopYAML, shopSlice, shopExport, peerYAML("b", 1), policyYAML("p", "shop", 1, 1)))
	dir := filepath.Join(t.TempDir(), "state")
	first := start(t, api.source(dir))
	first.until("of what is there", has(exported))
	first.stop()
	updates, _ := first.all()
	want := updates[len(updates)-1]
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 7 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != snapshotMode {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}

	api.stop()
	second := start(t, api.source(dir))
	second.until("of what was known", has(exported))
	updates, _ = second.all()
	expect(t, "after the restart", updates[0], want...)
	if at, err := second.WaitLocality(t.Context()); err != nil || at.String() != "north/n-1" {
		t.Errorf("locality %s, %v", at, err)
	}
	second.synced()
	second.complains("Kubernetes API: the API server cannot be reached")
	second.ages(true)

	api.answer("peers", 403)
	api.remove(join(shopExport, policyYAML("p", "shop", 1, 1), peerYAML("b", 1)))
	api.start()
	second.until("of what the API server has", func(lines []string) bool { return len(about(lines, "service", "policy")) == 0 })
	second.complains("Peer: the API server does not allow to list peers.eastway.dev")
	updates, _ = second.all()
	if !has("peer b")(updates[len(updates)-1]) {
		t.Error("the peer is gone before the API server was read")
	}
	second.ages(true)
	api.answer("peers", 0)
	second.until("that the peer is gone", func(lines []string) bool { return len(about(lines, "peer")) == 0 })
	second.complains("")
	second.ages(false)
}

// ages checks whether the metric shows a snapshot in use.
func (r *running) ages(want bool) {
	r.t.Helper()
	r.since("snapshot_age_seconds", want)
}

// since checks whether a metric in seconds is above 0.
func (r *running) since(metric string, want bool) {
	r.t.Helper()
	families, err := r.reg.Gather()
	must(r.t, err)
	for _, f := range families {
		if f.GetName() != "eastway_discovery_kube_"+metric {
			continue
		}
		if got := f.GetMetric()[0].GetGauge().GetValue(); (got > 0) != want {
			r.t.Errorf("%s is %v, want any: %v", metric, got, want)
		}
		return
	}
	r.t.Errorf("no metric %s", metric)
}

// Files that are damaged or another installation's are as good as none, and do not take the others with them.
func TestSnapshotsOfOthers(t *testing.T) {
	t.Parallel()
	l := newLab(t, func() Config { c := testConfig(); c.SnapshotDir = t.TempDir(); return c }())
	l.apply(join(nodesYAML, annotated(shopYAML, "http"), shopSlice, shopExport, peerYAML("b", 1)))
	for _, table := range l.tables {
		must(t, table.Replace(everything(table), "1"))
	}
	l.keeper.save()
	dir := l.cfg.SnapshotDir
	load := func(edit func(*Config)) []string {
		t.Helper()
		cfg := testConfig()
		cfg.SnapshotDir = copyOf(t, dir)
		edit(&cfg)
		other := newLab(t, cfg)
		other.keeper.load()
		return about(other.state(), "service", "peer")
	}
	expect(t, "the same", load(func(*Config) {}), "peer b spiffe://b/eastway/cluster/b", exported)
	expect(t, "another cluster", load(func(c *Config) { c.Cluster = "other" }))
	expect(t, "another namespace", load(func(c *Config) { c.Namespace = "other" }))
	expect(t, "a damaged file", load(func(c *Config) {
		must(t, os.WriteFile(filepath.Join(c.SnapshotDir, "kube-peers.snapshot"), []byte("{}\nx"), 0o600))
	}), exported)
	expect(t, "a Peer that is no longer right", load(func(c *Config) { c.SPIFFEID = "spiffe://b/eastway/cluster/b" }), exported)
}

// everything that a table holds, as a list.
func everything(t *table) []any {
	var list []any
	for _, o := range t.objects {
		list = append(list, o)
	}
	return list
}
