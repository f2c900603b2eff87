package binaries

import "strings"

// Module is a project whose programs are built together.
type Module string

// The modules: the folders beside this file.
const (
	Kubernetes    Module = "kubernetes"     // kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl
	CoreDNS       Module = "coredns"        // coredns
	MetricsServer Module = "metrics-server" // metrics-server, which autoscalers ask
	Helm          Module = "helm"           // helm
	Fortio        Module = "fortio"         // fortio, which makes load
	GRPCInterop   Module = "grpc-interop"   // client and server, which test implementations of gRPC against each other

	// GatewayConformance is the conformance suite of Gateway API: gateway-conformance, its tests, and echo-basic, the backend of all its images.
	GatewayConformance Module = "gateway-conformance"
	// Prometheus is prometheus, with the discovery of Kubernetes only: Debian's has none.
	Prometheus Module = "prometheus"
	// PrometheusAdapter is adapter, which serves custom.metrics.k8s.io from what Prometheus has.
	PrometheusAdapter Module = "prometheus-adapter"
)

// Modules are all of them.
func Modules() []Module {
	return []Module{Kubernetes, CoreDNS, MetricsServer, Helm, Fortio, GRPCInterop, GatewayConformance, Prometheus, PrometheusAdapter}
}

// recipe is how a module is built.
type recipe struct {
	// pinned is the module whose version is stamped into the programs.
	pinned string
	// tags of the build, with commas.
	tags string
	// tests is a package whose tests are built, too: a program with the module's name.
	tests string
	// variables to stamp; VERSION stands for the pinned version, MAJOR and MINOR for its parts.
	variables []string
	// duration of a first build, for people who wait: on two cores.
	duration string
}

func (m Module) recipe() recipe {
	switch m {
	case Kubernetes:
		const version = "k8s.io/component-base/version."
		return recipe{
			pinned: "k8s.io/kubernetes",
			// Without these the API server says v0.0.0, which helm refuses.
			variables: []string{version + "gitVersion=VERSION", version + "gitMajor=MAJOR", version + "gitMinor=MINOR"},
			duration:  "7 to 9 minutes",
		}
	case Helm:
		return recipe{
			pinned:    "helm.sh/helm/v3",
			variables: []string{"helm.sh/helm/v3/internal/version.version=VERSION"},
			duration:  "2 to 3 minutes",
		}
	case CoreDNS:
		return recipe{pinned: "github.com/coredns/coredns", duration: "2 to 3 minutes"}
	case MetricsServer:
		return recipe{
			pinned:    "sigs.k8s.io/metrics-server",
			variables: []string{"k8s.io/client-go/pkg/version.gitVersion=VERSION"},
			duration:  "3 to 4 minutes",
		}
	case Fortio:
		return recipe{pinned: "fortio.org/fortio", duration: "half a minute"}
	case GRPCInterop:
		return recipe{pinned: "google.golang.org/grpc", duration: "1 minute"}
	case GatewayConformance:
		const module = "sigs.k8s.io/gateway-api/conformance"
		return recipe{pinned: module, tests: module, duration: "2 minutes"}
	case Prometheus:
		return recipe{pinned: "github.com/prometheus/prometheus", tags: "remove_all_sd,enable_kubernetes_sd", duration: "4 minutes"}
	case PrometheusAdapter:
		return recipe{pinned: "sigs.k8s.io/prometheus-adapter", duration: "3 minutes"}
	default:
		return recipe{}
	}
}

// ldflags stamp a version like "v1.34.4" and leave out debug information, which
// halves the programs.
func (r recipe) ldflags(version string) string {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	for len(parts) < 2 {
		parts = append(parts, "0")
	}
	fill := strings.NewReplacer("VERSION", version, "MAJOR", parts[0], "MINOR", parts[1])
	flags := []string{"-s", "-w"}
	for _, variable := range r.variables {
		flags = append(flags, "-X", fill.Replace(variable))
	}
	return strings.Join(flags, " ")
}
