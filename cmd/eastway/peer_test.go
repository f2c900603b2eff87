package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/peering"
)

// peerDirs is a cluster with a CA, and the configuration directory of another one.
type peerDirs struct{ ca, config string }

func newPeerDirs(t *testing.T) peerDirs {
	t.Helper()
	d := peerDirs{ca: filepath.Join(t.TempDir(), "ca"), config: t.TempDir()}
	must(t, "certs", "init", "--dir", d.ca, "--cluster", "cluster-b")
	return d
}

func (d peerDirs) export(t *testing.T, args ...string) string {
	t.Helper()
	return mustNote(t, append([]string{"peer", "export", "--cluster", "cluster-b", "--ca", d.ca}, args...)...)
}

// mustNote is must of a command that may remark something on stderr.
func mustNote(t *testing.T, args ...string) string {
	t.Helper()
	r := runCommand(t, args...)
	if r.code != command.OK || strings.Count(r.stderr, "\n") != strings.Count(r.stderr, "note: ") {
		t.Fatalf("eastway %s: exit %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// importFrom gives the manifest on standard input.
func importFrom(t *testing.T, manifest string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRoot(&stdout, &stderr)
	root.SetIn(strings.NewReader(manifest))
	root.SetArgs(append([]string{"peer", "import", "-"}, args...))
	err := root.ExecuteContext(t.Context())
	if err != nil {
		stderr.WriteString(err.Error())
	}
	return result{code: command.ExitCode(err), stdout: stdout.String(), stderr: stderr.String()}
}

func TestPeerExport(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	for _, format := range []string{"pem", "jwks"} {
		out := d.export(t, "--address", "203.0.113.7:7443", "--address", "b.example.com:7443", "--format", format)
		if strings.Contains(out, "PRIVATE") {
			t.Fatal("a private key was exported")
		}
		var p v1alpha1.Peer
		if err := yaml.UnmarshalStrict([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.ParsePeer(p.Name, p.Spec.SPIFFEID, p.Spec.TrustBundle); err != nil {
			t.Error(err)
		}
		if p.Kind != "Peer" || p.APIVersion != v1alpha1.GroupVersion || len(p.Spec.Addresses) != 2 {
			t.Errorf("%+v", p)
		}
		if (p.Spec.TrustBundle[0] == '{') != (format == "jwks") {
			t.Errorf("%s bundle begins with %q", format, p.Spec.TrustBundle[0])
		}
	}
	for args, text := range map[string]string{
		"--address nix": "spec.addresses[0]", "--format der": `"der"`, "--cluster B": "lower case", "--ca none": "certs init",
	} {
		all := append([]string{"peer", "export", "--cluster", "cluster-b", "--ca", d.ca}, strings.Fields(args)...)
		if r := runCommand(t, all...); r.code == command.OK || !strings.Contains(r.stderr, text) || r.stdout != "" {
			t.Errorf("%s: exit %d: %s", args, r.code, r.stderr)
		}
	}
}

func TestPeerImport(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	file := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(file, []byte(d.export(t, "--address", "b.example.com:1")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "peer", "import", file, "--config", d.config); !strings.Contains(out, "peer cluster-b: added as spiffe://") {
		t.Errorf("first: %s", out)
	}
	if out := must(t, "peer", "import", file, "--config", d.config); out != "peer cluster-b: unchanged\n" {
		t.Errorf("again: %s", out)
	}
	written, err := os.ReadFile(filepath.Join(d.config, "peer-cluster-b.yaml"))
	if err != nil || !strings.Contains(string(written), "b.example.com:1") {
		t.Errorf("written: %s, %v", written, err)
	}
	r := importFrom(t, d.export(t, "--address", "b.example.com:2"), "--config", d.config)
	if r.code != command.OK || !strings.Contains(r.stdout, "addresses: b.example.com:2, were b.example.com:1") {
		t.Errorf("new address: %+v", r)
	}
	// What this cluster decided about the peer stays.
	written, err = os.ReadFile(filepath.Join(d.config, "peer-cluster-b.yaml"))
	ruled := strings.Replace(string(written), "spec:\n", "spec:\n  exports: {deny: [bank/*]}\n", 1)
	if err = errors.Join(err, os.WriteFile(filepath.Join(d.config, "peer-cluster-b.yaml"), []byte(ruled), 0o600)); err != nil {
		t.Fatal(err)
	}
	r = importFrom(t, d.export(t, "--address", "b.example.com:3"), "--config", d.config)
	written, err = os.ReadFile(filepath.Join(d.config, "peer-cluster-b.yaml"))
	if err != nil || r.code != command.OK || !strings.Contains(string(written), "- bank/*") || !strings.Contains(string(written), "b.example.com:3") {
		t.Errorf("with rules: %+v, %v\n%s", r, err, written)
	}
	// The same identity with another root: the CA was replaced.
	renewed := newPeerDirs(t)
	r = importFrom(t, renewed.export(t, "--address", "b.example.com:2"), "--config", d.config)
	if r.code != command.OK || !strings.Contains(r.stdout, "new root") || !strings.Contains(r.stdout, "dropped root") {
		t.Errorf("new root: %+v", r)
	}
}

func TestPeerImportRefuses(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	good := d.export(t)
	other := filepath.Join(t.TempDir(), "other")
	must(t, "certs", "init", "--dir", other, "--cluster", "cluster-b", "--trust-domain", "other.test")
	impostor := mustNote(t, "peer", "export", "--cluster", "cluster-b", "--ca", other)
	if r := importFrom(t, good, "--config", d.config); r.code != command.OK {
		t.Fatal(r.stderr)
	}
	before, err := os.ReadFile(filepath.Join(d.config, "peer-cluster-b.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		manifest string
		args     string
		text     string
	}{
		"name taken":      {impostor, "", `the name "cluster-b" is taken`},
		"own name":        {good, "--cluster cluster-b", "this cluster itself"},
		"unknown field":   {strings.Replace(good, "spec:", "spec:\n  color: red", 1), "", "spec.color: unknown field"},
		"broken YAML":     {"spec: [", "", "not a Peer manifest"},
		"other kind":      {strings.Replace(good, "kind: Peer", "kind: Pear", 1), "", "expected a Peer"},
		"two documents":   {good + "---\n" + good, "", "2 objects"},
		"nothing":         {"# nothing\n", "", "0 objects"},
		"broken bundle":   {strings.Replace(good, "MII", "MIX", 1), "", "spec.trustBundle"},
		"ID of another":   {strings.Replace(good, "cluster/cluster-b", "cluster/cluster-c", 1), "", "spec.spiffeID"},
		"broken address":  {strings.Replace(good, "spec:", "spec:\n  addresses: [nix]", 1), "", "spec.addresses[0]"},
		"too large":       {good + strings.Repeat("#", peering.MaxManifest), "", "larger than"},
		"no such config":  {good, "--config /nonexistent", "create the directory, or name another"},
		"unexpected word": {good, "extra", "unexpected argument"},
	} {
		r := importFrom(t, c.manifest, append([]string{"--config", d.config}, strings.Fields(c.args)...)...)
		if r.code == command.OK || !strings.Contains(r.stderr, c.text) || r.stdout != "" {
			t.Errorf("%s: exit %d, want %q: %s", name, r.code, c.text, r.stderr)
		}
	}
	if after, err := os.ReadFile(filepath.Join(d.config, "peer-cluster-b.yaml")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("a refused import changed the file: %v", err)
	}
	if entries, err := os.ReadDir(d.config); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestPeerImportFindsPeersInOtherFiles(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	manifest := d.export(t)
	for file, content := range map[string]string{"all.yml": "kind: Service\n---\n" + manifest, "broken.yaml": "a: ["} {
		if err := os.WriteFile(filepath.Join(d.config, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := importFrom(t, manifest, "--config", d.config); r.code != command.Failure || !strings.Contains(r.stderr, "already in") {
		t.Errorf("%+v", r)
	}
}

// What import did not write it does not overwrite.
func TestPeerImportKeepsOtherObjects(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	path := filepath.Join(d.config, "peer-cluster-b.yaml")
	const other = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIP: 127.1.0.1, ports: [{port: 80}]}\n"
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--dry-run"}, nil} {
		r := importFrom(t, d.export(t), append(args, "--config", d.config)...)
		if r.code != command.Failure || !strings.Contains(r.stderr, "Service x") {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != other {
		t.Errorf("left: %q, %v", left, err)
	}
}

// The commands find the Peers that a proxy finds, and say so.
func TestPeerCommandsReadAsTheProxyDoes(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	manifest := d.export(t, "--address", "b.example.com:1")
	_, object, _ := strings.Cut(manifest, "\n") // without the comment
	item := "- " + strings.ReplaceAll(strings.TrimSpace(object), "\n", "\n  ") + "\n"
	list := "apiVersion: v1\nkind: List\nitems:\n" + item
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {clusterIP: 127.1.0.1, ports: [{port: 80}]}\n"
	for name, c := range map[string]struct {
		file, content string
		listed        bool
		remove        string // what remove says; "" if it removes the Peer
		left          string
	}{
		"a document after a commented marker": {"all.yaml", service + "--- # note\n" + manifest, true, "which import did not write", "all.yaml"},
		"a List":                              {"list.yaml", list, true, "which import did not write", "list.yaml"},
		"upper case":                          {"B.YAML", manifest, true, "which import did not write", "B.YAML"},
		"a hidden file":                       {".b.yaml", manifest, false, "there is no Peer", ".b.yaml"},
		"another object beside": {
			"peer-cluster-b.yaml", manifest + "---\n" + service, true, "with other objects", "peer-cluster-b.yaml",
		},
		"a Peer that is not used": {
			"peer-cluster-b.yaml", strings.Replace(manifest, "spec:", "spec:\n  color: red", 1), true, "", "",
		},
		"as import wrote it": {"peer-cluster-b.yaml", manifest, true, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			out := mustNote(t, "peer", "list", "--config", dir)
			if got := strings.Contains(out, "cluster-b"); got != c.listed {
				t.Errorf("listed: %t, want %t:\n%s", got, c.listed, out)
			}
			r := runCommand(t, "peer", "remove", "cluster-b", "--config", dir)
			if (r.code == command.OK) != (c.remove == "") || !strings.Contains(r.stderr, c.remove) {
				t.Errorf("remove: exit %d: %s, want %q", r.code, r.stderr, c.remove)
			}
			if _, err := os.Stat(filepath.Join(dir, c.file)); (err == nil) != (c.left != "") {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

// A Peer in two files stays trusted when one of them is deleted, so remove refuses.
func TestPeerRemoveFindsASecondFile(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	manifest := d.export(t)
	for _, name := range []string{"peer-cluster-b.yaml", "z.yaml"} {
		if err := os.WriteFile(filepath.Join(d.config, name), []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := runCommand(t, "peer", "remove", "cluster-b", "--config", d.config); r.code != command.Failure || !strings.Contains(r.stderr, "z.yaml") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// Notes name the file, the line and the field of a Peer that is not used.
func TestPeerListNotesWhatIsNotUsed(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	bad := strings.Replace(d.export(t), "spec:", "spec:\n  color: red", 1)
	if err := os.WriteFile(filepath.Join(d.config, "b.yaml"), []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runCommand(t, "peer", "list", "--config", d.config)
	if r.code != command.OK || !strings.Contains(r.stderr, "note: b.yaml:7: document 1: spec.color: unknown field") ||
		!strings.Contains(r.stdout, "cluster-b  not usable: repair or remove ") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

// The manifest of a cluster whose certificate another program issues comes from the directory of that, without its key.
func TestExportOfCertificateDirectory(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	svid := filepath.Join(t.TempDir(), "svid")
	must(t, "certs", "issue", "--dir", d.ca, "--cluster", "cluster-b", "--out", svid)
	if err := os.Remove(filepath.Join(svid, "tls.key")); err != nil {
		t.Fatal(err)
	}
	args := []string{"peer", "export", "--cluster", "cluster-b", "--address", "192.0.2.1:15443"}
	want, got := must(t, append(args, "--ca", d.ca)...), must(t, append(args, "--svid", svid)...)
	if got != want {
		t.Errorf("--svid prints\n%s, --ca prints\n%s", got, want)
	}
	other := filepath.Join(t.TempDir(), "other")
	must(t, "certs", "init", "--dir", other, "--cluster", "cluster-b")
	root, err := os.ReadFile(filepath.Join(other, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(svid, "ca.crt"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	if doubted := runCommand(t, append(args, "--svid", svid)...); doubted.code != command.OK ||
		!strings.Contains(doubted.stderr, "peers would refuse the certificate") {
		t.Errorf("exit code %d: %s", doubted.code, doubted.stderr)
	}
	for want, args := range map[string][]string{
		"need --cluster": {"peer", "export", "--svid", svid},
		"--ca or --svid": {"peer", "export", "--cluster", "cluster-b"},
		"[ca svid]":      {"peer", "export", "--cluster", "cluster-b", "--svid", svid, "--ca", d.ca},
		"--cluster: ":    {"peer", "export", "--cluster", "B", "--ca", d.ca},
		"--format: ":     {"peer", "export", "--cluster", "cluster-b", "--ca", d.ca, "--format", "der"},
	} {
		if got := runCommand(t, args...); got.code != command.Usage || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: exit code %d, want an error with %q: %s", args, got.code, want, got.stderr)
		}
	}
}
