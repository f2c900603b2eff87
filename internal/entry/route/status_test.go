package route

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// secretYAML is a Secret with a certificate of its own.
func secretYAML(t testing.TB, namespace, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0), DNSNames: []string{"x"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return fmt.Sprintf("kind: Secret\nmetadata: {name: %s, namespace: %s}\ntype: kubernetes.io/tls\ndata: {tls.crt: %s, tls.key: %s}",
		name, namespace, encoded("CERTIFICATE", cert), encoded("PRIVATE KEY", der))
}

func TestListenerStatus(t *testing.T) {
	t.Parallel()
	secret := secretYAML(t, "shop", "cert") + "\n---\n" + secretYAML(t, "certs", "far") + "\n---\n" + secretYAML(t, "certs", "other") +
		"\n---\nkind: Secret\nmetadata: {name: broken}\ntype: kubernetes.io/tls\ndata: {tls.crt: aGVsbG8=, tls.key: aGVsbG8=}"
	grant := `kind: ReferenceGrant
metadata: {name: g, namespace: certs}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: shop}]
  to: [{group: "", kind: Secret, name: far}]`
	const good = "Accepted True Accepted, Programmed True Programmed, ResolvedRefs True ResolvedRefs, Conflicted False NoConflicts"
	unresolved := func(reason string) string {
		return "Accepted True Accepted, Programmed False Invalid, ResolvedRefs False " + reason + ", Conflicted False NoConflicts"
	}
	invalid := func(reason string) string {
		return "Accepted False " + reason + ", Programmed False Invalid, ResolvedRefs True ResolvedRefs, Conflicted False NoConflicts"
	}
	https := func(rest string) string { return "port: 443, protocol: HTTPS, " + rest }
	for _, test := range []struct {
		listener string
		want     string
		kinds    int
	}{
		{"port: 80, protocol: HTTP", good, 2},
		{"port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: HTTPRoute}, {kind: TCPRoute}]}", strings.Replace(good, "ResolvedRefs True "+
			"ResolvedRefs", "ResolvedRefs False InvalidRouteKinds", 1), 1},
		{"port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}]}", unresolved("InvalidRouteKinds"), 0},
		{"port: 80, protocol: HTTP, allowedRoutes: {kinds: [{group: x, kind: HTTPRoute}]}", unresolved("InvalidRouteKinds"), 0},
		{"port: 80, protocol: HTTP, hostname: 10.0.0.1", invalid("UnsupportedValue"), 2},
		{"port: 80, protocol: HTTP, hostname: 'a.*.b'", invalid("UnsupportedValue"), 2},
		{"port: 70000, protocol: HTTP", invalid("UnsupportedValue"), 2},
		{"port: 80, protocol: HTTP, tls: {}", invalid("UnsupportedValue"), 2},
		{"port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: " +
			"Bad}]}}}", invalid("UnsupportedValue"), 2},
		{"port: 80, protocol: TCP", invalid("UnsupportedProtocol"), 0},
		{"port: 80, protocol: example.com/x", invalid("UnsupportedProtocol"), 0},
		{https("tls: {certificateRefs: [{name: cert}]}"), good, 2},
		{https("tls: {mode: Terminate, certificateRefs: [{name: far, namespace: certs}]}"), good, 2},
		{https("tls: {certificateRefs: [{name: other, namespace: certs}]}"), unresolved("RefNotPermitted"), 2},
		{https("tls: {certificateRefs: [{name: absent, namespace: elsewhere}]}"), unresolved("RefNotPermitted"), 2},
		{https("tls: {certificateRefs: [{name: absent}]}"), unresolved("InvalidCertificateRef"), 2},
		{https("tls: {certificateRefs: [{name: broken}]}"), unresolved("InvalidCertificateRef"), 2},
		{https("tls: {certificateRefs: [{name: cert, kind: ConfigMap}]}"), unresolved("InvalidCertificateRef"), 2},
		{"port: 443, protocol: HTTPS", unresolved("InvalidCertificateRef"), 2},
		{https("tls: {mode: Passthrough, certificateRefs: [{name: cert}]}"), invalid("UnsupportedValue"), 2},
	} {
		table, status := compile(t, secret, grant, "kind: Gateway\nmetadata: {name: web, generation: 7}\nspec:\n  gatewayClassName: eastway\n  "+
			"listeners:\n  - {name: l, "+test.listener+"}")
		g := status.Gateways[named("web")]
		var got []string
		for _, c := range g.Listeners[0].Conditions {
			got = append(got, fmt.Sprintf("%s %s %s", c.Type, c.Status, c.Reason))
			if c.ObservedGeneration != 7 {
				t.Errorf("%s: generation %d", c.Type, c.ObservedGeneration)
			}
		}
		if strings.Join(got, ", ") != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.listener, strings.Join(got, ", "), test.want)
		}
		if kinds := g.Listeners[0].SupportedKinds; kinds == nil || len(kinds) != test.kinds {
			t.Errorf("%s: kinds %v", test.listener, kinds)
		}
		usable := strings.Contains(test.want, "Programmed True")
		if (len(table.Ports()) == 1) != usable || (conditionOf(g.Conditions, "Programmed") == "True Programmed") != usable {
			t.Errorf("%s: %d ports, %s", test.listener, len(table.Ports()), conditionOf(g.Conditions, "Programmed"))
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	table, status := compile(t, secretYAML(t, "shop", "cert"), `kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: a, port: 80, protocol: HTTP, hostname: a.example}
  - {name: b, port: 80, protocol: HTTP, hostname: a.example}
  - {name: c, port: 80, protocol: HTTP, hostname: c.example}
  - {name: d, port: 81, protocol: HTTP}
  - {name: e, port: 81, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}
  - {name: f, port: 82, protocol: HTTP}
  - {name: g, port: 83, protocol: HTTP}
  - {name: h, port: 83, protocol: TCP}
  - {name: g, port: 84, protocol: HTTP}`, `kind: Gateway
metadata: {name: other}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: f, port: 82, protocol: HTTP}`)
	var got []string
	for _, l := range status.Gateways[named("web")].Listeners {
		got = append(got, string(l.Name)+" "+conditionOf(l.Conditions, "Accepted")+" "+conditionOf(l.Conditions, "Conflicted"))
	}
	want := []string{
		"a False HostnameConflict True HostnameConflict", "b False HostnameConflict True HostnameConflict", "c True Accepted False NoConflicts",
		"d False ProtocolConflict True ProtocolConflict", "e False ProtocolConflict True ProtocolConflict", "f False HostnameConflict True " +
			"HostnameConflict",
		"g True Accepted False NoConflicts", "h False UnsupportedProtocol False NoConflicts", "g False UnsupportedValue False NoConflicts",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := conditionOf(status.Gateways[named("web")].Conditions, "Accepted"); got != "True ListenersNotValid" {
		t.Errorf("web: %s", got)
	}
	if got := conditionOf(status.Gateways[named("other")].Conditions, "Accepted"); got != "True Accepted" { // before web by name
		t.Errorf("other: %s", got)
	}
	var ports []uint16
	for _, p := range table.Ports() {
		ports = append(ports, p.Number)
	}
	if fmt.Sprint(ports) != "[80 82 83]" {
		t.Errorf("ports %v", ports)
	}
}

// A new Gateway takes nothing from an older one, nor does a listener that cannot be used.
func TestOlderGatewayKeepsPort(t *testing.T) {
	t.Parallel()
	const older = "kind: Gateway\nmetadata: {name: public, creationTimestamp: '2026-01-01T00:00:00Z'}\nspec:\n  gatewayClassName: eastway\n" +
		"  listeners: [{name: a, port: 80, protocol: HTTP}]"
	const newer = "kind: Gateway\nmetadata: {name: a, namespace: tenant, creationTimestamp: '2026-02-01T00:00:00Z'}\nspec:\n" +
		"  gatewayClassName: eastway\n  listeners:\n"
	for _, test := range []struct {
		listeners string // of the newer Gateway
		want      string // its status
		ports     string
	}{
		{"  - {name: a, port: 80, protocol: HTTP}", "False HostnameConflict", "[80: 1]"},
		{"  - {name: a, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: absent}]}}", "True Accepted", "[80: 1]"},
		{"  - {name: a, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}", "False ProtocolConflict", "[80: 1]"},
		{"  - {name: a, port: 80, protocol: HTTP, hostname: a.example}", "True Accepted", "[80: 2]"},
		{"  - {name: a, port: 80, protocol: HTTP, hostname: a.example}\n" +
			"  - {name: b, port: 80, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}", "True Accepted", "[80: 2]"},
		{"  - {name: a, port: 81, protocol: HTTP}\n  - {name: b, port: 81, protocol: HTTP}", "False HostnameConflict", "[80: 1]"},
		{"  - {name: a, port: 81, protocol: HTTP}\n  - {name: b, port: 81, protocol: HTTPS}", "True Accepted", "[80: 1 81: 1]"},
	} {
		table, status := compile(t, newer+test.listeners, secretYAML(t, "tenant", "cert"), older)
		var ports []string
		for _, p := range table.Ports() {
			ports = append(ports, fmt.Sprintf("%d: %d", p.Number, len(p.Listeners)))
			if p.TLS {
				t.Errorf("%s: port %d is of TLS", test.listeners, p.Number)
			}
		}
		if fmt.Sprint(ports) != test.ports {
			t.Errorf("%s: ports %v, want %s", test.listeners, ports, test.ports)
		}
		first := status.Gateways[named("public")].Listeners[0]
		if got := conditionOf(first.Conditions, "Conflicted"); got != "False NoConflicts" {
			t.Errorf("%s: the older one: %s", test.listeners, got)
		}
		second := status.Gateways[types.NamespacedName{Namespace: "tenant", Name: "a"}].Listeners[0]
		if got := conditionOf(second.Conditions, "Accepted"); got != test.want {
			t.Errorf("%s: %s, want %s", test.listeners, got, test.want)
		}
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	const g = "kind: Gateway\nmetadata: {name: %s}\nspec:\n  gatewayClassName: %s\n  listeners: [{name: l, port: %d, protocol: HTTP}]\n  %s"
	class := "kind: GatewayClass\nmetadata: {name: %s}\nspec: {controllerName: %s}"
	table, status := compile(t,
		fmt.Sprintf(class, "mine", ControllerName), fmt.Sprintf(class, "theirs", "example.com/x"),
		strings.Replace(fmt.Sprintf(class, "params", ControllerName), "/entry}", "/entry, parametersRef: {group: a, kind: b, name: c}}", 1),
		fmt.Sprintf(g, "a", "mine", 81, ""), fmt.Sprintf(g, "b", "theirs", 82, ""), fmt.Sprintf(g, "c", "params", 83, ""),
		fmt.Sprintf(g, "d", "eastway", 84, ""),
		fmt.Sprintf(g, "e", "absent", 85, ""), fmt.Sprintf(g, "f", "mine", 86, "addresses: [{value: 10.0.0.1}]"),
		fmt.Sprintf(g, "h", "mine", 87, "tls: {frontend: {default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}}}}"),
		fmt.Sprintf(g, "i", "mine", 88, "infrastructure: {parametersRef: {group: a, kind: b, name: c}}"),
		fmt.Sprintf(g, "j", "mine", 89, "allowedListeners: {}"),
		fmt.Sprintf(g, "k", "mine", 90, "addresses: [{}, {type: Hostname}]"),
		fmt.Sprintf(g, "l", "mine", 91, "addresses: [{type: example.com/pool}]"),
	)
	got := make(map[string]string)
	for name, s := range status.Gateways {
		got[name.Name] = conditionOf(s.Conditions, "Accepted")
	}
	want := map[string]string{
		"a": "True Accepted", "d": "True Accepted", "f": "False UnsupportedAddress",
		"h": "True Accepted", "i": "False InvalidParameters", "j": "True Accepted",
		"k": "True Accepted", "l": "False UnsupportedAddress",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("gateways %v, want %v", got, want)
	}
	if got := conditionOf(status.Classes["mine"], "Accepted"); got != "True Accepted" {
		t.Errorf("class mine: %s", got)
	}
	if got := conditionOf(status.Classes["params"], "Accepted"); got != "False InvalidParameters" {
		t.Errorf("class params: %s", got)
	}
	if _, ok := status.Classes["theirs"]; ok || len(table.Ports()) != 5 {
		t.Errorf("classes %v, %d ports", status.Classes, len(table.Ports()))
	}
}

func TestParents(t *testing.T) {
	t.Parallel()
	gateway := `kind: Gateway
metadata: {name: web, namespace: infra}
spec:
  gatewayClassName: eastway
  listeners:
  - {name: same, port: 80, protocol: HTTP}
  - {name: all, port: 81, protocol: HTTP, hostname: "*.example.com", allowedRoutes: {namespaces: {from: All}}}
  - {name: some, port: 82, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}}
  - {name: named, port: 83, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {
      matchLabels: {kubernetes.io/metadata.name: other}}}}}
  - {name: none, port: 84, protocol: HTTP, allowedRoutes: {namespaces: {from: None}}}`
	namespace := "kind: Namespace\nmetadata: {name: shop, labels: {team: a}}"
	for _, test := range []struct{ ref, hostname, namespace, want string }{
		{"name: web, namespace: infra", "a.example.com", "shop", "True Accepted"},
		{"name: web, namespace: infra", "", "shop", "True Accepted"},
		{"name: web, namespace: infra, sectionName: all", "example.com", "shop", "False NoMatchingListenerHostname"},
		{"name: web, namespace: infra, sectionName: same", "", "shop", "False NotAllowedByListeners"},
		{"name: web, sectionName: same", "", "infra", "True Accepted"},
		{"name: web, namespace: infra, sectionName: some", "", "shop", "True Accepted"},
		{"name: web, namespace: infra, sectionName: some", "", "other", "False NotAllowedByListeners"},
		{"name: web, namespace: infra, sectionName: named", "", "other", "True Accepted"},
		{"name: web, sectionName: none", "", "infra", "False NotAllowedByListeners"},
		{"name: web, namespace: infra, sectionName: absent", "", "shop", "False NoMatchingParent"},
		{"name: web, namespace: infra, port: 82", "", "shop", "True Accepted"},
		{"name: web, namespace: infra, port: 8080", "", "shop", "False NoMatchingParent"},
		{"name: web, namespace: infra, sectionName: all, port: 82", "", "shop", "False NoMatchingParent"},
		{"name: web", "", "shop", "absent"},
		{"name: web, namespace: infra, kind: Service, group: ''", "", "shop", "absent"},
	} {
		r := fmt.Sprintf("kind: HTTPRoute\nmetadata: {name: r, namespace: %s, generation: 3}\nspec:\n  parentRefs: [{%s}]", test.namespace, test.ref)
		if test.hostname != "" {
			r += "\n  hostnames: [" + test.hostname + "]"
		}
		_, status := compile(t, gateway, namespace, r)
		got := "absent"
		for name, parents := range status.Routes {
			for _, p := range parents {
				got = conditionOf(p.Conditions, "Accepted")
				if p.ControllerName != ControllerName || p.ParentRef.Name != "web" || p.Conditions[0].ObservedGeneration != 3 {
					t.Errorf("%s: %+v", name, p)
				}
			}
		}
		if got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// A route at a listener of another protocol learns that it is the protocol.
func TestParentOfAnotherProtocol(t *testing.T) {
	t.Parallel()
	const gateway = "kind: Gateway\nmetadata: {name: web}\nspec: {gatewayClassName: eastway, listeners: [{name: dns, port: 53, protocol: UDP}]}"
	_, status := compile(t, gateway,
		"kind: HTTPRoute\nmetadata: {name: r}\nspec:\n  parentRefs: [{name: web}]")
	for _, parents := range status.Routes {
		got := parents[0].Conditions[0]
		if got.Reason != "NotAllowedByListeners" || !strings.Contains(got.Message, "protocol has to be HTTP or HTTPS") {
			t.Errorf("%s: %s", got.Reason, got.Message)
		}
	}
	if len(status.Routes) != 1 {
		t.Errorf("%d routes have a status", len(status.Routes))
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	far := strings.ReplaceAll(servicesYAML, "{name: ", "{namespace: far, name: ")
	far = strings.ReplaceAll(far, "{port: 8080, namespace: far, name", "{port: 8080, name")
	grant := func(from, to string) string {
		return fmt.Sprintf("kind: ReferenceGrant\nmetadata: {name: g, namespace: far}\nspec:\n  from: [{group: gateway.networking.k8s.io, %s}]\n "+
			" to: [{%s}]", from, to)
	}
	ours := "kind: HTTPRoute, namespace: shop"
	for _, test := range []struct{ ref, grant, want string }{
		{"name: cart, port: 8080", "", "True ResolvedRefs"},
		{"name: cart, port: 8081", "", "False BackendNotFound"},
		{"name: cart", "", "False BackendNotFound"},
		{"name: absent, port: 80", "", "False BackendNotFound"},
		{"name: pending, port: 80", "", "False BackendNotFound"},
		{"name: external, port: 80", "", "False InvalidKind"},
		{"name: cart, port: 8443", "", "False UnsupportedProtocol"},
		{"kind: ServiceImport, group: multicluster.x-k8s.io, name: stock, port: 80", "", "True ResolvedRefs"},
		{"kind: ServiceImport, group: multicluster.x-k8s.io, name: waiting, port: 80", "", "False BackendNotFound"},
		{"kind: ServiceImport, group: multicluster.x-k8s.io, name: cart, port: 80", "", "False BackendNotFound"},
		{"kind: Pod, name: cart, port: 80", "", "False InvalidKind"},
		{"kind: Service, group: example.com, name: cart, port: 80", "", "False InvalidKind"},
		{"name: pay, namespace: far, port: 8080", "", "False RefNotPermitted"},
		{"name: absent, namespace: far, port: 8080", "", "False RefNotPermitted"},
		{"name: pay, namespace: far, port: 8080", grant(ours, "group: '', kind: Service"), "True ResolvedRefs"},
		{"name: pay, namespace: far, port: 8080", grant(ours, "group: '', kind: Service, name: pay"), "True ResolvedRefs"},
		{"name: pay, namespace: far, port: 8080", grant(ours, "group: '', kind: Service, name: cart"), "False RefNotPermitted"},
		{"name: pay, namespace: far, port: 8080", grant(ours, "group: '', kind: Secret"), "False RefNotPermitted"},
		{"name: pay, namespace: far, port: 8080", grant("kind: HTTPRoute, namespace: far", "group: '', kind: Service"), "False RefNotPermitted"},
		{"name: pay, namespace: far, port: 8080", grant("kind: Gateway, namespace: shop", "group: '', kind: Service"), "False RefNotPermitted"},
		{"name: absent, namespace: far, port: 8080", grant(ours, "group: '', kind: Service"), "False BackendNotFound"},
	} {
		texts := []string{
			gatewayYAML, servicesYAML, far, "kind: Service\nmetadata: {name: pending}\nspec: {ports: [{port: 80}]}",
			"kind: Service\nmetadata: {name: external}\nspec: {type: ExternalName, externalName: localhost, ports: [{port: 80}]}",
			"kind: ServiceImport\nmetadata: {name: waiting}\nspec: {type: ClusterSetIP, ports: [{port: 80}]}",
			routeOf("a", nil, "{backendRefs: [{"+test.ref+"}]}"),
		}
		if test.grant != "" {
			texts = append(texts, test.grant)
		}
		table, status := compile(t, texts...)
		parents := status.Routes[named("a")]
		got := conditionOf(parents[0].Conditions, "Accepted") + ", " + conditionOf(parents[0].Conditions, "ResolvedRefs")
		if got != "True Accepted, "+test.want {
			t.Errorf("%+v: %s", test, got)
		}
		d := table.Match(80, request("GET http://x/"), 0)
		if ok := test.want == "True ResolvedRefs"; ok != (d.Kind == Forward) {
			t.Errorf("%+v: %+v", test, d)
		} else if !ok && (d.Status != 500 || d.Reason != ReasonInvalidBackend || d.Message == "") {
			t.Errorf("%+v: %+v", test, d)
		}
	}
}

func TestInvalidRules(t *testing.T) {
	t.Parallel()
	redirect := "type: RequestRedirect, requestRedirect"
	for _, test := range []struct{ rule, reason string }{
		{"filters: [{type: URLRewrite, urlRewrite: {hostname: a.example}}, {type: RequestRedirect, requestRedirect: {scheme: " +
			"https}}]", "IncompatibleFilters"},
		{"filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}], " + toCart, "IncompatibleFilters"},
		{"filters: [{type: URLRewrite, urlRewrite: {hostname: a.example}}, {type: URLRewrite, urlRewrite: {hostname: b.example}}], " +
			"" + toCart, "IncompatibleFilters"},
		{"filters: [{" + redirect + ": {statusCode: 304}}]", "UnsupportedValue"},
		{"filters: [{" + redirect + ": {scheme: ftp}}]", "UnsupportedValue"},
		{"filters: [{" + redirect + ": {port: 70000}}]", "UnsupportedValue"},
		{"filters: [{" + redirect + ": {hostname: '*.a.example'}}]", "UnsupportedValue"},
		{"filters: [{" + redirect + ": {path: {type: X}}}]", "UnsupportedValue"},
		{"filters: [{" + redirect + ": {path: {type: ReplaceFullPath, replaceFullPath: 'a b'}}}]", "UnsupportedValue"},
		{"filters: [{type: RequestRedirect}]", "UnsupportedValue"},
		{"matches: [{path: {type: Exact, value: /a}}], filters: [{" + redirect + ": {path: {type: ReplacePrefixMatch, replacePrefixMatch: " +
			"/b}}}]", "UnsupportedValue"},
		{"matches: [{path: {value: /a}}, {path: {value: /b}}], filters: [{" + redirect + ": {path: {type: ReplacePrefixMatch, " +
			"replacePrefixMatch: /b}}}]", "UnsupportedValue"},
		{"filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: 'a b', value: c}]}}], " + toCart, "UnsupportedValue"},
		{`filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: "b\r\nc: d"}]}}], ` + toCart, "UnsupportedValue"},
		{"filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: host, value: a}]}}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [content-length]}}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: RequestMirror, requestMirror: {percent: 101, backendRef: {name: cart, port: 8080}}}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: RequestMirror, requestMirror: {fraction: {numerator: 3, denominator: 2}, backendRef: {name: cart, port: 8080}}}], " +
			"" + toCart, "UnsupportedValue"},
		{"filters: [{type: CORS, cors: {allowOrigins: ['https://a.*.example']}}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: CORS, cors: {allowMethods: ['GET, PUT']}}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: ExtensionRef, extensionRef: {group: a, kind: b, name: c}}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: ExternalAuth}], " + toCart, "UnsupportedValue"},
		{"filters: [{type: New}], " + toCart, "UnsupportedValue"},
		{"backendRefs: [{name: cart, port: 8080, filters: [{type: URLRewrite, urlRewrite: {}}]}]", "UnsupportedValue"},
		{"backendRefs: [{name: cart, port: 8080, weight: -1}]", "UnsupportedValue"},
		{"timeouts: {request: 1.5s}, " + toCart, "UnsupportedValue"},
		{"timeouts: {request: -1s}, " + toCart, "UnsupportedValue"},
		{"timeouts: {request: 1s, backendRequest: 2s}, " + toCart, "UnsupportedValue"},
		{"matches: [{path: {type: RegularExpression, value: '('}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {type: RegularExpression, value: '(x{99}){9}'}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {type: Glob, value: /a}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {value: a}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {value: /a//b}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {value: /a/%2e./b}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {value: /a%2fb}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {value: '/a?b'}}], " + toCart, "UnsupportedValue"},
		{"matches: [{path: {value: /" + strings.Repeat("a", maxPathValue) + "}}], " + toCart, "UnsupportedValue"},
		{"matches: [{method: 'G T'}], " + toCart, "UnsupportedValue"},
		{"matches: [{headers: [{name: 'a b', value: c}]}], " + toCart, "UnsupportedValue"},
		{"matches: [{headers: [{name: a, value: ''}]}], " + toCart, "UnsupportedValue"},
		{"matches: [{headers: [{name: a, type: X, value: c}]}], " + toCart, "UnsupportedValue"},
		{"matches: [{queryParams: [{name: a, type: X, value: c}]}], " + toCart, "UnsupportedValue"},
	} {
		// Alone, the rule makes its route invalid; beside a valid one, it is dropped.
		table, status := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil, "{"+test.rule+"}"),
			routeOf("b", nil, "{"+test.rule+"}", `{matches: [{path: {value: /valid}}], `+toCart+`}`))
		a, b := status.Routes[named("a")][0], status.Routes[named("b")][0]
		if got := conditionOf(a.Conditions, "Accepted"); got != "False "+test.reason {
			t.Errorf("%s: Accepted %s, want %s", test.rule, got, test.reason)
		}
		got := conditionOf(b.Conditions, "Accepted") + ", " + conditionOf(b.Conditions, "PartiallyInvalid")
		if got != "True Accepted, True "+test.reason {
			t.Errorf("%s: beside a valid rule %s", test.rule, got)
		}
		if text := b.Conditions[len(b.Conditions)-1].Message; !strings.HasPrefix(text, "Dropped Rule: spec.rules[0]") {
			t.Errorf("%s: message %q", test.rule, text)
		}
		if d := table.Match(80, request("GET http://x/valid"), 0); d.Kind != Forward || d.Rule.Index != 1 {
			t.Errorf("%s: the valid rule: %+v", test.rule, d)
		}
		if n := status.Gateways[named("web")].Listeners[0].AttachedRoutes; n != 1 {
			t.Errorf("%s: %d routes attached", test.rule, n)
		}
	}
}

// A filter that is not supported may protect the backend: its requests go nowhere else.
func TestUnsupportedFiltersAreNotSkipped(t *testing.T) {
	t.Parallel()
	table, status := compile(t, gatewayYAML, servicesYAML,
		routeOf("guarded", nil, `{matches: [{path: {value: /admin}}], filters: [{type: ExternalAuth}], `+toCart+`}`),
		routeOf("open", nil, `{`+toCart+`}`))
	if got := conditionOf(status.Routes[named("guarded")][0].Conditions, "Accepted"); got != "False UnsupportedValue" {
		t.Errorf("Accepted %s", got)
	}
	d := table.Match(80, request("GET http://x/admin/1"), 0)
	if d.Kind != Refuse || d.Status != 500 || d.Reason != ReasonInvalidFilter || d.Message == "" {
		t.Errorf("guarded: %+v", d)
	}
	if d := table.Match(80, request("GET http://x/"), 0); d.Kind != Forward {
		t.Errorf("open: %+v", d)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	rules := func(n int, rule string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = strings.ReplaceAll(rule, "INDEX", fmt.Sprint(i))
		}
		return out
	}
	matches := strings.Repeat("{path: {value: /a}}, ", 9)
	_, status := compile(t, gatewayYAML, servicesYAML,
		routeOf("rules", nil, rules(maxRules+1, `{`+toCart+`}`)...),
		routeOf("matches", nil, rules(15, `{matches: [`+matches+`], `+toCart+`}`)...),
		routeOf("hosts", strings.Split(strings.Repeat("a.example,", maxHostnames)+"b.example", ","), `{`+toCart+`}`),
		routeOf("backends", nil, `{backendRefs: [`+strings.Repeat("{name: cart, port: 8080}, ", maxBackends+1)+`]}`),
	)
	for _, name := range []string{"rules", "matches", "hosts", "backends"} {
		if got := conditionOf(status.Routes[named(name)][0].Conditions, "Accepted"); got != "False UnsupportedValue" {
			t.Errorf("%s: %s", name, got)
		}
	}
	regular := `{matches: [{path: {type: RegularExpression, value: "/INDEX.{490}"}}], ` + toCart + `}`
	size := maxRules * (490 + len("/0") + 3) // of each route, about
	texts := []string{gatewayYAML, servicesYAML}
	for i := range maxRegexes/size + 1 {
		texts = append(texts, routeOf(fmt.Sprintf("r%02d", i), nil, rules(maxRules, regular)...))
	}
	_, status = compile(t, texts...)
	for i := range maxRegexes/size + 1 {
		want := map[bool]string{true: "True Accepted", false: "False UnsupportedValue"}[i < maxRegexes/size]
		if got := conditionOf(status.Routes[named(fmt.Sprintf("r%02d", i))][0].Conditions, "Accepted"); got != want {
			t.Errorf("route %d of regular expressions: %s, want %s", i, got, want)
		}
	}
	m := read(t, gatewayYAML)
	m.Gateways[0].Spec.Listeners = nil
	for i := range int32(MaxPorts) {
		g := m.Gateways[0].DeepCopy()
		g.Name = fmt.Sprint("g", i)
		g.Spec.Listeners = []gatewayv1.Listener{{Name: "one", Port: 1000 + i, Protocol: gatewayv1.HTTPProtocolType}}
		m.Gateways = append(m.Gateways, g)
	}
	more := m.Gateways[0].DeepCopy()
	more.Name, more.Spec.Listeners = "zz", []gatewayv1.Listener{{Name: "one", Port: 999, Protocol: gatewayv1.HTTPProtocolType}}
	m.Gateways = append(m.Gateways, more)
	table, st := Compile(m)
	got := conditionOf(st.Gateways[named("zz")].Listeners[0].Conditions, "Accepted")
	if got != "False PortUnavailable" || len(table.Ports()) != MaxPorts {
		t.Errorf("one port more: %s; %d ports", got, len(table.Ports()))
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	policy := func(name, kind, target string) string {
		return fmt.Sprintf("kind: TrafficPolicy\nmetadata: {name: %s}\nspec:\n  targetRef: {group: gateway.networking.k8s.io, kind: %s, name: %s}\n"+
			"  rateLimit: {rules: [{quota: 10, fillInterval: 1s}]}", name, kind, target)
	}
	table, _ := compile(t, gatewayYAML, servicesYAML, policy("gw", "Gateway", "web"), policy("rt", "HTTPRoute", "a"),
		strings.Replace(policy("svc", "Service", "a"), "group: gateway.networking.k8s.io, ", "", 1),
		strings.Replace(policy("far", "HTTPRoute", "a"), "{name: far}", "{name: far, namespace: other}", 1),
		routeOf("a", nil, `{matches: [{path: {value: /a}}], `+toCart+`}`), routeOf("b", nil, `{matches: [{path: {value: /b}}], `+toCart+`}`))
	for target, want := range map[string]string{"http://x/a": "shop/gw shop/rt", "http://x/b": "shop/gw", "http://x/c": "shop/gw"} {
		d := table.Match(80, request("GET "+target), 0)
		var got []string
		for _, l := range d.Limits {
			got = append(got, l.Key)
			if l.Rate.Rules[0].Quota != 10 {
				t.Errorf("%s: %+v", target, l.Rate)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}

// Fields without effect do no harm, and the status says so.
func TestUnusedFields(t *testing.T) {
	t.Parallel()
	_, status := compile(t, gatewayYAML, servicesYAML, routeOf("a", nil, `{retry: {attempts: 2}, sessionPersistence: {sessionName: a}, `+
		``+toCart+`}`))
	c := status.Routes[named("a")][0].Conditions[0]
	for _, want := range []string{"spec.rules[0].retry: not used", "spec.rules[0].sessionPersistence: not used"} {
		if c.Status != "True" || !strings.Contains(c.Message, want) {
			t.Errorf("%+v, want %q", c, want)
		}
	}
}
