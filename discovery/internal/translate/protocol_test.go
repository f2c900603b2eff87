package translate

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestIsHTTP(t *testing.T) {
	t.Parallel()
	const none = "\x00" // no appProtocol at all
	for _, test := range []struct {
		annotated, app, name string
		want                 bool
	}{
		// The annotation decides, whatever else there is.
		{"http", none, "", true},
		{"http2", "tcp", "tcp-web", true},
		{"h2c", none, "", true},
		{"kubernetes.io/h2c", none, "", true},
		{"grpc", none, "", true},
		{"grpc-web", none, "", true},
		{"ws", none, "", true},
		{"kubernetes.io/ws", none, "", true},
		{"tcp", "http", "http", false},
		{"tls", "http", "http", false},
		{"https", "http", "http", false},
		// Then appProtocol, which is not case sensitive.
		{"", "http", "", true},
		{"", "HTTP2", "", true},
		{"", "kubernetes.io/h2c", "tcp", true},
		{"", "kubernetes.io/ws", "", true},
		{"", "grpc", "", true},
		{"", "kubernetes.io/wss", "http", false},
		{"", "https", "http", false},
		{"", "tcp", "http", false},
		{"", "http-alt", "http", false},
		{"", "example.com/own", "http", false},
		// Then the prefix of the name.
		{"", none, "http", true},
		{"", "", "http", true},
		{"", none, "http-web", true},
		{"", none, "http2", true},
		{"", none, "http2-web", true},
		{"", none, "grpc", true},
		{"", none, "grpc-api", true},
		{"", none, "grpc-web", true},
		{"", none, "grpc-web-api", true},
		{"", none, "https", false},
		{"", none, "https-web", false},
		{"", none, "http3", false},
		{"", none, "httpweb", false},
		{"", none, "web-http", false},
		{"", none, "ws", false}, // no prefix of Istio's
		{"", none, "tcp", false},
		{"", none, "tcp-http", false},
		{"", none, "tls", false},
		{"", none, "mongo", false},
		{"", none, "web", false},
		{"", none, "", false},
	} {
		for _, protocol := range []corev1.Protocol{"", corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			p := &corev1.ServicePort{Name: test.name, Protocol: protocol}
			if test.app != none {
				p.AppProtocol = &test.app
			}
			tcp := protocol == "" || protocol == corev1.ProtocolTCP
			what := fmt.Sprintf("annotated %q, appProtocol %q, name %q, %s", test.annotated, test.app, test.name, protocol)
			if got := isHTTP(p, test.annotated); got != (test.want && tcp) {
				t.Errorf("%s: %v", what, got)
			}
		}
	}
}

// annotated is a Service with ports web (80), api (9090), 80 (8080), dns (53/UDP) and dns-tcp (53/TCP).
func annotated(value string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{v1alpha1.ProtocolAnnotation: value}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
			{Name: "web", Port: 80},
			{Name: "api", Port: 9090, Protocol: corev1.ProtocolTCP},
			{Name: "80", Port: 8080},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			{Name: "dns-tcp", Port: 53},
			{Name: "quic", Port: 443, Protocol: corev1.ProtocolUDP},
		}},
	}
}

func TestProtocolAnnotation(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"http":                         "80/TCP 9090/TCP 8080/TCP 53/TCP",
		" grpc\n":                      "80/TCP 9090/TCP 8080/TCP 53/TCP",
		"tcp":                          "",
		"web=http":                     "80/TCP",
		"80=http":                      "80/TCP", // a number, although another port has that name
		"8080=http":                    "8080/TCP",
		"web=http,api=grpc,dns-tcp=ws": "80/TCP 9090/TCP 53/TCP",
		"web=http,\n  9090 = h2c ":     "80/TCP 9090/TCP",
		"web=tcp,api=grpc":             "9090/TCP",
		"web=https":                    "",
		"53=http":                      "53/TCP", // of the two ports 53 the one that can be
	} {
		s := annotated(value)
		if errs := (&Checker{}).Check("default", s); len(errs) > 0 {
			t.Errorf("%q: %v", value, errs)
		}
		if got := httpPorts(s); got != want {
			t.Errorf("%q: HTTP on %s, want %s", value, got, want)
		}
	}
	s := annotated("")
	s.Annotations = nil
	if got := httpPorts(s); got != "" {
		t.Errorf("without the annotation: HTTP on %s", got)
	}
}

func httpPorts(s *corev1.Service) string {
	var ports []string
	for _, p := range Service(discovery.ServiceName{}, s).Ports {
		if p.HTTP {
			ports = append(ports, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
	}
	return strings.Join(ports, " ")
}

func TestInvalidProtocolAnnotation(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	for value, want := range map[string]string{
		"":                       `Unsupported value: "": supported values: "http", "http2", "h2c", `,
		"htpp":                   `Unsupported value: "htpp": supported values: `,
		"HTTP":                   `Unsupported value: "HTTP": supported values: `,
		"web=udp":                `Unsupported value: "udp": supported values: `,
		"web=":                   `Unsupported value: "": supported values: `,
		"shop=http":              `Invalid value: "shop=http": the Service has no port "shop"`,
		"81=http":                `Invalid value: "81=http": the Service has no port "81"`,
		"65616=http":             `Invalid value: "65616=http": the Service has no port "65616"`, // 80 in 16 bits
		"=http":                  `Invalid value: "=http": the Service has no port ""`,
		"dns=http":               `Invalid value: "dns=http": port dns is UDP: only TCP ports have a protocol here`,
		"443=tcp":                `Invalid value: "443=tcp": port 443 is UDP: only TCP ports have a protocol here`,
		"web=http,web=http":      `Invalid value: "web=http": port 80 is in the list twice`,
		"web=http,80=tcp":        `Invalid value: "80=tcp": port 80 is in the list twice`,
		"web=http,":              `Invalid value: "": must be PORT=PROTOCOL, or one protocol for all ports`,
		"http,tcp":               `Invalid value: "http": must be PORT=PROTOCOL, or one protocol for all ports`,
		"web=http=grpc":          `Unsupported value: "http=grpc": supported values: `,
		long:                     `Unsupported value: "` + long[:97] + `…": supported values: `,
		long + "=http":           `Invalid value: "` + long[:97] + `…": the Service has no port "` + long[:97] + `…"`,
		strings.Repeat(long, 33): `Too long: may not be more than 32768 bytes`,
	} {
		errs := (&Checker{}).Check("default", annotated(value))
		if len(errs) != 1 || errs[0].Field != "metadata.annotations[eastway.dev/protocol]" || !strings.HasPrefix(errs[0].ErrorBody(), want) {
			t.Errorf("%.80q:\n got %v\nwant %s", value, errs, want)
		}
	}
}
