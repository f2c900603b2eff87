package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/kubecli"
)

const (
	zone = "clusterset.local"
	// dnsNamespace and the names below are where kubeadm and most others put CoreDNS.
	dnsNamespace = "kube-system"
	dnsConfigMap = "coredns"
	dnsLabel     = "k8s-app"
	dnsLabelled  = "kube-dns"
	dnsPort      = 53
	// lookupTimeout bounds one lookup.
	lookupTimeout = 15 * time.Second
)

func (f *facts) dnsConfig(ctx context.Context) []Result {
	config, err := f.cluster.ConfigMap(ctx, dnsNamespace, dnsConfigMap)
	switch {
	case errors.Is(err, kubecli.ErrNotFound):
		return one(skip("there is no ConfigMap %s/%s: the cluster's DNS is not the usual CoreDNS, the lookup below shows whether it serves %s",
			dnsNamespace, dnsConfigMap, zone))
	case err != nil:
		return one(unknown(err))
	}
	lines, wrong := corefile(config.Data["Corefile"])
	if wrong == "" {
		return one(ok("CoreDNS is configured to serve %s", zone))
	}
	return one(warn("CoreDNS is not configured to serve %s: %s", zone, wrong).
		hint("kubectl -n %s edit configmap %s, and write: %s (CoreDNS 1.12.2 or later). Services that are taken over do not need it",
			dnsNamespace, dnsConfigMap, lines))
}

// corefile returns what is wrong with a Corefile, and how the kubernetes block should begin; "" if it is correct.
func corefile(text string) (lines, wrong string) {
	var block string
	multicluster := false
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "kubernetes":
			block = strings.TrimSpace(line)
		case fields[0] == "multicluster":
			multicluster = multicluster || slices.Contains(fields[1:], zone)
		}
	}
	served := slices.Contains(strings.Fields(block), zone)
	switch {
	case block == "":
		block, wrong = "kubernetes cluster.local in-addr.arpa ip6.arpa {", "it has no kubernetes block"
	case !served:
		wrong = "the zone is missing after \"kubernetes\""
	case !multicluster:
		wrong = "the line \"multicluster " + zone + "\" is missing"
	default:
		return "", ""
	}
	fields := strings.Fields(strings.TrimSuffix(block, "{"))
	if !served {
		fields = slices.Insert(fields, min(2, len(fields)), zone)
	}
	return fmt.Sprintf("%q, and below it the line %q", strings.Join(fields, " ")+" {", "multicluster "+zone), wrong
}

func (f *facts) dnsLookup(ctx context.Context) []Result {
	imports, err := f.getImports(ctx)
	if err != nil {
		return one(unknown(err))
	}
	at := slices.IndexFunc(imports, func(i kubecli.ServiceImport) bool { return len(i.Addresses) > 0 })
	if at < 0 {
		return one(skip("nothing is imported yet, so there is no name to look up"))
	}
	imported := imports[at]
	dns, err := f.resolver(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if dns == nil {
		if _, err := f.cluster.ConfigMap(ctx, dnsNamespace, dnsConfigMap); err == nil {
			return one(warn("no DNS pod is ready (label %s=%s in %s): no name of a service is resolved", dnsLabel, dnsLabelled, dnsNamespace).
				hint("kubectl -n %s get pods -l %s=%s", dnsNamespace, dnsLabel, dnsLabelled))
		}
		return one(skip("no pod of the cluster's DNS was found (label %s=%s in %s)", dnsLabel, dnsLabelled, dnsNamespace))
	}
	server, name := dns.server, domain(imported.Name)
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := dns.LookupHost(ctx, name)
	if why := dns.failure(); err != nil && why != nil {
		return one(skip("%s could not be queried: %v", server, why))
	}
	if err != nil {
		result := warn("%s does not resolve %s: %s", server, name, lookupError(err))
		return one(result.hint("is the line \"multicluster %s\" there, is CoreDNS 1.12.2 or later, and may it list serviceimports? "+
			"kubectl -n %s logs -l %s=%s", zone, dnsNamespace, dnsLabel, dnsLabelled))
	}
	for _, address := range found {
		if !slices.Contains(imported.Addresses, address) {
			return one(fail("%s resolves %s to %s, its ServiceImport has %s", server, name, and(found), and(imported.Addresses)).
				hint("does another MCS implementation, or a stale cache, answer for %s?", zone))
		}
	}
	return one(ok("%s resolves %s to %s", server, name, and(found)))
}

// domain of a service NAMESPACE/NAME, complete with its dot.
func domain(service string) string {
	namespace, name, _ := strings.Cut(service, "/")
	return name + "." + namespace + ".svc." + zone + "."
}

// resolver queries one DNS server.
type resolver struct {
	net.Resolver
	server string // for messages

	mu    sync.Mutex
	conns []net.Conn
	err   error
}

// failure is why it could not be queried; nil if it could.
func (r *resolver) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		if c, ok := conn.(interface{ Failure() error }); ok && c.Failure() != nil {
			return c.Failure()
		}
	}
	return r.err
}

// resolver uses the pod's DNS if this is a pod, else a pod of the cluster's DNS through a port-forward, over TCP.
// nil if there is no such pod.
func (f *facts) resolver(ctx context.Context) (*resolver, error) {
	if f.options.InPod {
		return &resolver{Resolver: net.Resolver{PreferGo: true}, server: "this pod's DNS"}, nil
	}
	pods, err := f.cluster.PodsIn(ctx, dnsNamespace, dnsLabel, dnsLabelled)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(pods, func(p corev1.Pod) bool { return kubecli.Ready(&p) })
	if at < 0 {
		return nil, nil
	}
	pod := &pods[at]
	port := f.dnsTarget(ctx, pod)
	r := &resolver{server: "DNS pod " + pod.Name}
	r.PreferGo = true
	r.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := f.cluster.DialPod(ctx, pod.Namespace, pod.Name, port)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.err = err
			return nil, err
		}
		r.conns = append(r.conns, conn)
		return conn, nil
	}
	return r, nil
}

// dnsTarget is the pod's port to which the Service sends queries over TCP.
func (f *facts) dnsTarget(ctx context.Context, pod *corev1.Pod) uint16 {
	service, err := f.cluster.Service(ctx, dnsNamespace, dnsLabelled)
	if err != nil {
		return dnsPort // the usual one
	}
	for _, p := range service.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP || p.Port != dnsPort {
			continue
		}
		if port, found := kubecli.PortOf(pod, p.TargetPort); found {
			return port
		}
	}
	return dnsPort
}

func lookupError(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "no such name"
		}
		return dns.Err
	}
	return fmt.Sprint(err)
}
