package file

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// service is the manifest of a service in namespace default on 127.1.0.1.
func service(name string, port int) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {clusterIP: 127.1.0.1, ports: [{port: %d}]}\n", name, port)
}

// annotated is that manifest with a protocol.
func annotated(name string, port int, protocol string) string {
	return strings.Replace(service(name, port), "metadata: {", "metadata: {annotations: {eastway.dev/protocol: "+protocol+"}, ", 1)
}

const listYAML = `apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a}
  spec: {clusterIP: 127.1.0.1, ports: [{port: 80}]}
`

const foreign = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\n"

const foreignItem = `- apiVersion: v1
  kind: Secret
  metadata: {name: b}
`

// loads writes files step by step, "" removes one, and reports after each step what the catalog would get:
// NAME:PORT of each service, with /http when the port is HTTP, and ! when it is not listened for.
func loads(t *testing.T, steps ...map[string]string) (got [][]string, errs [][]FileError) {
	t.Helper()
	dir := t.TempDir()
	cfg := config(dir)
	s := newStore(&cfg)
	for _, step := range steps {
		for _, name := range slices.Sorted(maps.Keys(step)) {
			if step[name] == "" {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			write(t, dir, name, step[name])
		}
		local, e, err := s.load()
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for n, svc := range local.Services.All() {
			mark := ""
			if svc.Ports[0].HTTP {
				mark = "/http"
			}
			if len(svc.Addresses) == 0 {
				mark += "!"
			}
			names = append(names, fmt.Sprintf("%s:%d%s", n.Name, svc.Ports[0].Port, mark))
		}
		slices.Sort(names)
		got, errs = append(got, names), append(errs, e)
	}
	return got, errs
}

func TestLastGoodState(t *testing.T) {
	t.Parallel()
	const sep = "---\n"
	broken := "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{prot: 1}]}\n"
	type files = map[string]string
	tests := []struct {
		name  string
		steps []files
		want  []string // after the last step
		errs  int
	}{
		{
			"good files are used beside broken ones from the start",
			[]files{{"a.yaml": service("a", 80), "b.yaml": "{"}},
			[]string{"a:80"},
			1,
		},
		{"a broken object keeps its last version, others go on", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 90) + sep + broken},
		}, []string{"a:90", "b:81"}, 1},
		{"what a broken file no longer shows is kept", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 90) + sep + "kind: [\n"},
		}, []string{"a:90", "b:81"}, 1},
		{"other files go on", []files{
			{"x.yaml": service("a", 80), "y.yaml": service("b", 81)},
			{"x.yaml": "{", "y.yaml": service("b", 91)},
		}, []string{"a:80", "b:91"}, 1},
		{"deleted from a good file", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80)},
		}, []string{"a:80"}, 0},
		{"deleted beside a broken object that is known by name", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": broken},
		}, []string{"b:81"}, 1},
		{"deleted beside a foreign kind", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81) + sep + foreign},
			{"x.yaml": service("a", 80) + sep + foreign},
		}, []string{"a:80"}, 0},
		{"deleted beside a foreign kind that Eastway could not decode", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + foreign + "spec: {<<: {a: b}}\n"},
		}, []string{"a:80"}, 0},
		{"deleted from a List that has a foreign kind", []files{
			{"x.yaml": listYAML + foreignItem + strings.ReplaceAll(foreignItem, "v1\n  kind: Secret", "v1\n  kind: Service")},
			{"x.yaml": listYAML + foreignItem},
		}, []string{"a:80"}, 0},
		{"deleted beside a foreign kind that is not YAML", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + foreign + "spec: {{ .Values.spec }}\n"},
		}, []string{"a:80"}, 0},
		{"deleted beside YAML that is no object", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "replicas: 3\n"},
		}, []string{"a:80"}, 1},
		{"deleted beside null", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "null\n" + sep + "~\n"},
		}, []string{"a:80"}, 0},
		{"a Node that is not YAML keeps no Service", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": "apiVersion: v1\nkind: Node # n\nmetadata: {\n" + sep + service("a", 80)},
		}, []string{"a:80"}, 1},
		{"what stood behind a cut, whatever kind the file was cut in", []files{
			{"x.yaml": service("a", 80) + sep + "apiVersion: v1\nkind: Node\nmetadata: {name: n}\n" + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "apiVersion: v1\nkind: Node\nmetadata: {\n"},
		}, []string{"a:80", "b:81"}, 1},
		{"what stood behind a cut in a foreign kind", []files{
			{"x.yaml": service("a", 80) + sep + foreign + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + strings.TrimSuffix(foreign, " b}\n")},
		}, []string{"a:80", "b:81"}, 0},
		{"what stood behind a cut that left an object without a name", []files{
			{"x.yaml": service("a", 80) + sep + foreign + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "apiVersion: v1\nkind: Servi"},
		}, []string{"a:80", "b:81"}, 0},
		{"what stood behind a cut that left valid YAML", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81) + sep + service("c", 82)},
			{"x.yaml": service("a", 80) + sep + "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec:\n  ports:\n  - pro: 8"},
		}, []string{"a:80", "b:81", "c:82"}, 1},
		{"what stood behind a cut, after another change", []files{
			{"x.yaml": service("a", 80) + sep + foreign + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "apiVersion: v1\nki"},
			{"x.yaml": service("a", 90) + sep + "apiVersion: v1\nki"},
		}, []string{"a:90", "b:81"}, 1},
		{"deleted before a whole object without a line break", []files{
			{"x.yaml": service("b", 81) + sep + service("a", 80) + sep + foreign},
			{"x.yaml": service("a", 80) + sep + strings.TrimSpace(foreign)},
		}, []string{"a:80"}, 0},
		{"an emptied file", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "\n"}}, []string{"a:80"}, 1},
		{"an emptied file, and another change", []files{
			{"x.yaml": service("a", 80)},
			{"x.yaml": "\n"},
			{"y.yaml": service("b", 81)},
			{"x.yaml": " \n"},
		}, []string{"a:80", "b:81"}, 1},
		{"an emptied file, deleted", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "\n"}, {"x.yaml": ""}}, []string{}, 0},
		{"an emptied file, written again", []files{
			{"x.yaml": service("a", 80)},
			{"x.yaml": "\n"},
			{"x.yaml": service("b", 81)},
		}, []string{"b:81"}, 0},
		{"an emptied file that moved", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "\n", "y.yaml": service("a", 81)}}, []string{"a:81"}, 1},
		{"emptied but for a comment", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "# none\n"}}, []string{}, 0},
		{"emptied but for a marker", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "---\n"}}, []string{}, 0},
		{"a file that never had an object", []files{{"x.yaml": "\n"}}, []string{}, 0},
		{"what is not YAML and may be several objects keeps all", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + foreign + "kind: Service\nmetadata: {\n"},
		}, []string{"a:80", "b:81"}, 1},
		{"deleted beside the same kind of another group", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: b}\n"},
		}, []string{"a:80"}, 0},
		{"deleted beside an object without a name", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": service("a", 80) + sep + "apiVersion: v1\nkind: Node\nmetadata: {}\n"},
		}, []string{"a:80"}, 1},
		{"deleted beside an object that cannot be decoded", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": strings.Replace(service("a", 80), "spec: {", "spec: {<<: {a: b}, ", 1)},
		}, []string{"a:80"}, 1},
		{"a Service of a version that is not known is kept", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": strings.Replace(service("a", 80), "v1", "v2", 1)},
		}, []string{"a:80"}, 1},
		{"a Service without apiVersion is kept", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": strings.Replace(service("a", 80), "apiVersion: v1\n", "", 1)},
		}, []string{"a:80"}, 1},
		{"a Service whose kind is mistyped is kept", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": strings.Replace(service("a", 80), "Service", "Servise", 1)},
		}, []string{"a:80"}, 1},
		{"a Service whose kind is set twice is kept", []files{
			{"x.yaml": service("a", 80) + sep + service("b", 81)},
			{"x.yaml": "kind: Secret\n" + service("a", 80)},
		}, []string{"a:80"}, 1},
		{"an emptied List", []files{
			{"x.yaml": listYAML},
			{"x.yaml": "apiVersion: v1\nkind: List\n"},
		}, []string{}, 0},
		{"a List whose items cannot be read", []files{
			{"x.yaml": listYAML},
			{"x.yaml": "apiVersion: v1\nkind: List\nitems: {}\n"},
		}, []string{"a:80"}, 1},
		{"a List whose items are mistyped", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.Replace(listYAML, "items:", "item:", 1)},
		}, []string{"a:80"}, 1},
		{"a List that has items twice", []files{{"x.yaml": listYAML}, {"x.yaml": listYAML + "items: []\n"}}, []string{"a:80"}, 1},
		{"a List whose items have another case", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.Replace(listYAML, "items:", "Items:", 1)},
		}, []string{"a:80"}, 1},
		{"a List whose kind is mistyped", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.Replace(listYAML, "kind: List", "kind: list", 1)},
		}, []string{"a:80"}, 1},
		{"a List without apiVersion", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.Replace(listYAML, "apiVersion: v1\nkind: List", "kind: List", 1)},
		}, []string{"a:80"}, 1},
		{"a List whose apiVersion is mistyped", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.Replace(listYAML, "apiVersion: v1\nkind: List", "apiVersion: V1\nkind: List", 1)},
		}, []string{"a:80"}, 1},
		{"a List with a name whose kind is mistyped", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.NewReplacer("kind: List", "kind: list", `{resourceVersion: ""}`, "{name: all}").Replace(listYAML)},
		}, []string{"a:80"}, 1},
		{"a List of one of our own groups", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.Replace(listYAML, "apiVersion: v1\nkind: List", "apiVersion: eastway.dev/v1alpha1\nkind: List", 1)},
		}, []string{"a:80"}, 1},
		{"a List that names its kind", []files{
			{"x.yaml": listYAML},
			{"x.yaml": strings.NewReplacer("kind: List", "kind: ServiceList", `{resourceVersion: ""}`, "{name: all}").Replace(listYAML)},
		}, []string{"a:80"}, 1},
		{
			"a deleted file",
			[]files{{"x.yaml": service("a", 80), "y.yaml": service("b", 81)}, {"x.yaml": ""}},
			[]string{"b:81"},
			0,
		},
		{"a deleted broken file", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "{"}, {"x.yaml": ""}}, []string{}, 0},
		{"repaired", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "{"}, {"x.yaml": service("a", 90)}}, []string{"a:90"}, 0},
		{
			"repaired to what it was",
			[]files{{"x.yaml": service("a", 80)}, {"x.yaml": "{"}, {"x.yaml": service("a", 80)}},
			[]string{"a:80"},
			0,
		},
		{"renamed", []files{{"x.yaml": service("a", 80)}, {"x.yaml": "", "y.yaml": service("a", 80)}}, []string{"a:80"}, 0},
		{"moved out of a file that broke", []files{
			{"x.yaml": service("a", 80)},
			{"x.yaml": "{", "y.yaml": service("a", 90)},
		}, []string{"a:90"}, 1},
		{"too large", []files{
			{"x.yaml": service("a", 80)},
			{"x.yaml": service("a", 90) + strings.Repeat("#\n", MaxFileSize/2)},
		}, []string{"a:80"}, 1},
		{"leavings of editors", []files{{
			"a.yaml~": service("a", 80), ".a.yaml": service("b", 80), "#a.yaml#": service("c", 80),
			"a.yaml.swp": service("d", 80), "a.txt": service("e", 80),
		}}, []string{}, 0},
		{"all names that count", []files{{
			"a.yaml": service("a", 80), "b.YML": service("b", 81),
			"c.Json": `{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"},"spec":{"clusterIP":"127.1.0.1","ports":[{"port":82}]}}`,
		}}, []string{"a:80", "b:81", "c:82"}, 0},
		{"a List", []files{{"l.yaml": listYAML}}, []string{"a:80"}, 0},
		{"an empty file", []files{{"a.yaml": "# nothing\n---\n\n--- # more\n"}}, []string{}, 0},
		{"the older one keeps an address", []files{{"x.yaml": service("z", 80)}, {"a.yaml": service("a", 80)}}, []string{"a:80!", "z:80"}, 1},
		{
			"of two new ones the first by name has it",
			[]files{{"x.yaml": service("a", 80), "a.yaml": service("z", 80)}},
			[]string{"a:80", "z:80!"},
			1,
		},
		{"an address becomes free", []files{
			{"x.yaml": service("z", 80)},
			{"a.yaml": service("a", 80)},
			{"x.yaml": ""},
		}, []string{"a:80"}, 0},
		{"a protocol", []files{{"x.yaml": annotated("a", 80, "http") + sep + annotated("b", 81, "81=tcp")}}, []string{"a:80/http", "b:81"}, 0},
		{"another protocol", []files{{"x.yaml": annotated("a", 80, "http")}, {"x.yaml": annotated("a", 80, "tcp")}}, []string{"a:80"}, 0},
		{"no protocol any more", []files{{"x.yaml": annotated("a", 80, "http")}, {"x.yaml": service("a", 80)}}, []string{"a:80"}, 0},
		{
			"a protocol that is not known",
			[]files{{"x.yaml": annotated("a", 80, "http")}, {"x.yaml": annotated("a", 90, "htpp")}},
			[]string{"a:80/http"},
			1,
		},
		{
			"a protocol of a port that went",
			[]files{{"x.yaml": annotated("a", 80, "80=http")}, {"x.yaml": annotated("a", 90, "80=http")}},
			[]string{"a:80/http"},
			1,
		},
		{
			"the file that had an object first keeps it",
			[]files{{"x.yaml": service("a", 80)}, {"a.yaml": service("a", 90)}},
			[]string{"a:80"},
			1,
		},
		{
			"then the other has it",
			[]files{{"x.yaml": service("a", 80)}, {"a.yaml": service("a", 90)}, {"x.yaml": ""}},
			[]string{"a:90"},
			0,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, errs := loads(t, tt.steps...)
			if last := got[len(got)-1]; !slices.Equal(last, tt.want) {
				t.Errorf("services %v, want %v (each step: %v)", last, tt.want, got)
			}
			last := slices.DeleteFunc(errs[len(errs)-1], func(e FileError) bool { return e.Warning })
			if len(last) != tt.errs {
				t.Errorf("errors %v, want %d", last, tt.errs)
			}
		})
	}
}

// An operator who deleted objects sees that they are still in use, and why.
func TestKeptObjectsAreNamed(t *testing.T) {
	t.Parallel()
	all := service("a", 80) + "---\n" + service("b", 81) + "---\n" + service("c", 82) + "---\n" + service("d", 83)
	for name, c := range map[string]struct {
		second, want string
	}{
		"syntax error": {"kind: [\n", "Service default/a, Service default/b, Service default/c and 1 more; repair"},
		"of a kind":    {"apiVersion: v1\nkind: Service\nmetadata: {\n", "Service default/a, Service default/b, Service default/c and 1 more"},
		"one of them":  {strings.TrimSuffix(all, service("d", 83)) + "kind: [\n", ": Service default/d; repair"},
		"without kind": {strings.Replace(service("a", 80), "kind: Service\n", "", 1), ""},
		"bad value":    {service("a", 0), ""},
		"foreign kind": {foreign, ""},
	} {
		_, errs := loads(t, map[string]string{"x.yaml": all}, map[string]string{"x.yaml": c.second})
		warnings := slices.DeleteFunc(errs[1], func(e FileError) bool { return !e.Warning })
		if c.want == "" && len(warnings) == 0 {
			continue
		}
		if len(warnings) != 1 || c.want == "" || !strings.Contains(warnings[0].Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, warnings, c.want)
		}
	}
}

func TestEndpointsAreKept(t *testing.T) {
	t.Parallel()
	const slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a-1, labels: {kubernetes.io/service-name: a}}\n" +
		"addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.0.0.1]}]\n"
	for _, version := range []string{"discovery.k8s.io", "v1", "discovery/v1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := config(dir)
			s := newStore(&cfg)
			for _, text := range []string{slice, strings.Replace(slice, "discovery.k8s.io/v1", version, 1)} {
				write(t, dir, "a.yaml", service("a", 80)+"---\n"+text)
				local, errs, err := s.load()
				n := 0
				for _, svc := range local.Services.All() {
					n += len(svc.Endpoints[80])
				}
				if err != nil || n != 1 {
					t.Errorf("%d endpoints: %v, %v, from %s", n, errs, err, text)
				}
			}
		})
	}
}

// Files beyond the bounds of a directory keep their last good state, and one error names how many.
func TestTooMuchToRead(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]limits{"files": {files: 2, total: maxTotal}, "bytes": {files: maxFiles, total: 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := config(dir)
			s := newStore(&cfg)
			for i, name := range []string{"x", "y", "z"} {
				write(t, dir, name+".yaml", service(name, 80+i))
			}
			if local, _, err := s.load(); err != nil || local.Services.Len() != 3 {
				t.Fatal(local.Services.Len(), err)
			}
			s.limits = limits
			write(t, dir, "a.yaml", "# 1\n")
			write(t, dir, "b.yaml", "# 2\n")
			local, errs, err := s.load()
			if err != nil || local.Services.Len() != 3 {
				t.Errorf("%d services, want 3: %v", local.Services.Len(), err)
			}
			if len(errs) != 1 || !strings.Contains(errs[0].Message, "all later files are not read, ") {
				t.Errorf("errors %v, want one", errs)
			}
		})
	}
}

func TestLocalities(t *testing.T) {
	t.Parallel()
	slice := func(i int, meta, endpoint string) string {
		return fmt.Sprintf(`---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s%d, labels: {kubernetes.io/service-name: a%s}
addressType: IPv4
ports: [{port: 8000}]
endpoints: [{addresses: [127.0.0.%d]%s}]
`, i, meta, i, endpoint)
	}
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", 80)+
		slice(1, "}", "")+
		slice(2, "}", ", zone: z")+
		slice(3, "}", ", zone: z1")+
		slice(4, "}", ", nodeName: n2")+
		slice(5, "}", ", nodeName: n2, zone: z1")+
		slice(6, ", topology.kubernetes.io/region: label}", ", zone: z1")+
		slice(7, "}, annotations: {topology.kubernetes.io/region: note}", ", zone: z1")+
		slice(8, "}", ", nodeName: unknown"))
	write(t, dir, "nodes.yaml",
		`{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {topology.kubernetes.io/region: r2, topology.kubernetes.io/zone: z2}}}
`)
	cfg := config(dir)
	local, errs, err := newStore(&cfg).load()
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	want := []string{"cn-hangzhou/-", "cn-hangzhou/z", "r1/z1", "r2/z2", "r1/z1", "label/z1", "note/z1", "cn-hangzhou/-"}
	ends := local.Services.Get(discovery.ServiceName{Namespace: "default", Name: "a"}).Endpoints[80]
	if len(ends) != len(want) {
		t.Fatalf("endpoints = %v", ends)
	}
	for i, e := range ends {
		if e.Locality.String() != want[i] || local.Localities.Get(e.Address.Addr()) != e.Locality {
			t.Errorf("%s is in %s (callers: %s), want %s", e.Address, e.Locality, local.Localities.Get(e.Address.Addr()), want[i])
		}
	}
}

func TestServicesOfAllSorts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "a.yaml", `apiVersion: v1
kind: Service
metadata: {name: headless}
spec:
  clusterIP: None
  clusterIPs: [None]
  ports: [{name: http, port: 80, appProtocol: kubernetes.io/h2c}, {name: dns, port: 53, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: dual}
spec:
  clusterIP: 127.1.0.1
  clusterIPs: [127.1.0.1, "fd00::1"]
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: h1, labels: {kubernetes.io/service-name: headless}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: dns, port: 53, protocol: UDP}]
endpoints:
- addresses: [127.0.0.1]
  conditions: {ready: false}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: h2, labels: {kubernetes.io/service-name: headless}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:
- addresses: [127.0.0.1]
`)
	cfg := config(dir)
	local, errs, err := newStore(&cfg).load()
	if err != nil || len(errs) > 0 {
		t.Fatal(err, errs)
	}
	headless := local.Services.Get(discovery.ServiceName{Namespace: "default", Name: "headless"})
	if len(headless.Addresses) != 0 || headless.Ports[0].AppProtocol != "kubernetes.io/h2c" ||
		headless.Ports[1].Protocol != discovery.UDP {
		t.Errorf("headless = %+v", headless)
	}
	if e := headless.Endpoints[80]; len(e) != 1 || !e[0].Ready || len(headless.Endpoints) != 1 {
		t.Errorf("endpoints = %+v, want one, ready because it is in one slice", headless.Endpoints)
	}
	dual := local.Services.Get(discovery.ServiceName{Namespace: "default", Name: "dual"})
	if want := []netip.Addr{netip.MustParseAddr("127.1.0.1"), netip.MustParseAddr("fd00::1")}; !slices.Equal(dual.Addresses,
		want) {
		t.Errorf("addresses = %v", dual.Addresses)
	}
}

// With the PROXY protocol a port is carried as TCP, and a value that is none keeps the last good version.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	proxied := func(version string) string {
		return strings.Replace(annotated("a", 80, "http"), "annotations: {", "annotations: {eastway.dev/proxy-protocol: "+version+", ", 1)
	}
	got, errs := loads(t, map[string]string{"a.yaml": proxied("v2")}, map[string]string{"a.yaml": proxied("v1")})
	if want := []string{"a:80"}; !slices.Equal(got[0], want) || !slices.Equal(got[1], want) {
		t.Errorf("%q, want %q", got, want)
	}
	const at = "metadata.annotations[eastway.dev/proxy-protocol]"
	if e := errs[0]; len(e) != 1 || !e[0].Warning || e[0].Field != at || !strings.Contains(e[0].Message, "carried as TCP") {
		t.Errorf("%+v", e)
	}
	if !slices.ContainsFunc(errs[1], func(e FileError) bool { return !e.Warning && e.Field == at && strings.Contains(e.Message, `"v1"`) }) {
		t.Errorf("%+v", errs[1])
	}
}
