package route

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// grants are the ReferenceGrants by namespace.
type grants map[string][]*gatewayv1.ReferenceGrant

// allow: objects of a kind of Gateway API in a namespace may refer to that object.
func (g grants) allow(fromKind gatewayv1.Kind, fromNamespace string, group gatewayv1.Group, kind gatewayv1.Kind, to types.NamespacedName) bool {
	if fromNamespace == to.Namespace {
		return true
	}
	for _, grant := range g[to.Namespace] {
		from, allowed := false, false
		for _, f := range grant.Spec.From {
			from = from || f.Group == groupGateway && f.Kind == fromKind && string(f.Namespace) == fromNamespace
		}
		for _, t := range grant.Spec.To {
			allowed = allowed || t.Group == group && t.Kind == kind && (t.Name == nil || *t.Name == "" || string(*t.Name) == to.Name)
		}
		if from && allowed {
			return true
		}
	}
	return false
}

// port of a service.
type port struct {
	number int32
	name   string
	app    *string
}

// backend that the rule refers to, and the one for gRPC if that differs; or why there is none. All calls of a GRPCRoute are gRPC.
func (b *ruleBuilder) backend(ref *gatewayv1.BackendObjectReference) (backend, grpc *Backend, why problem) {
	backend, grpc, why = b.compiler.backend(b.kind, b.namespace, ref)
	if backend != nil {
		b.out.uses[limited{backend.Kind, backend.Service}] = true
	}
	if b.kind != kindGRPC || backend == nil {
		return backend, grpc, why
	}
	if grpc == nil && backend.Protocol != H2C {
		return nil, nil, problem{
			gatewayv1.RouteReasonUnsupportedProtocol,
			fmt.Sprintf("%s %s has an appProtocol on port %d that cannot carry gRPC: use grpc", backend.Kind, backend.Service, backend.Port),
		}
	}
	return cmp.Or(grpc, backend), nil, why
}

// backend that a route of a kind refers to, and the one for gRPC if that differs; or why there is none.
func (c *compiler) backend(
	of gatewayv1.Kind, namespace string, ref *gatewayv1.BackendObjectReference,
) (backend, grpc *Backend, why problem) {
	kind, group := gatewayv1.Kind(kindService), gatewayv1.Group("")
	if ref.Kind != nil {
		kind = *ref.Kind
	}
	if ref.Group != nil {
		group = *ref.Group
	}
	name := nameIn(namespace, ref.Namespace, ref.Name)
	isService, isImport := kind == kindService && group == "", kind == kindImport && group == groupMCS
	if !isService && !isImport {
		return nil, nil, problem{
			gatewayv1.RouteReasonInvalidKind,
			fmt.Sprintf("kind %s of group %q is not supported: use Service, or ServiceImport of group %s", kind, group, groupMCS),
		}
	}
	if !c.grants.allow(of, namespace, group, kind, name) {
		return nil, nil, problem{
			gatewayv1.RouteReasonRefNotPermitted,
			fmt.Sprintf("no ReferenceGrant in namespace %s lets %ss of namespace %s use %s %s", name.Namespace, of, namespace, kind, name.Name),
		}
	}
	what := fmt.Sprintf("%s %s", kind, name)
	var addr string // empty: the Service is headless
	var ports []port
	if isService {
		addr, ports, why = serviceOf(c.services[name], what)
	} else {
		addr, ports, why = importOf(c.imports[name], what, c.in.Bindings == nil)
	}
	if why.text != "" {
		return nil, nil, why
	}
	p, why := choosePort(ports, ref.Port, isImport, what)
	if why.text != "" {
		return nil, nil, why
	}
	policy := c.tls.of(string(kind), name, p.name)
	protocol, auto, ok := protocolOf(p, policy != nil)
	if !ok {
		return nil, nil, problem{
			gatewayv1.RouteReasonUnsupportedProtocol,
			fmt.Sprintf("%s has appProtocol %s on port %d: use http, kubernetes.io/ws, kubernetes.io/h2c or grpc; for TLS, a BackendTLSPolicy",
				what, *p.app, p.number),
		}
	}
	backend = &Backend{Protocol: protocol, Kind: string(kind), Service: name, Port: uint16(p.number)}
	if addr == "" {
		backend.Endpoints = c.headless.endpoints(c.services[name], p)
	} else {
		backend.Address = net.JoinHostPort(addr, strconv.Itoa(int(p.number)))
	}
	policy.secure(backend)
	if auto {
		other := *backend
		other.Protocol, grpc = H2C, &other
	}
	return backend, grpc, problem{}
}

// serviceOf is the cluster IP of a Service, empty if it is headless, and its ports.
func serviceOf(s *corev1.Service, what string) (addr string, ports []port, why problem) {
	if s == nil {
		return "", nil, notFound("%s does not exist", what)
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return "", nil, problem{
			gatewayv1.RouteReasonInvalidKind, what + " is of type ExternalName, by which a route could reach any host: use another",
		}
	}
	if addr = s.Spec.ClusterIP; addr == corev1.ClusterIPNone {
		addr = ""
	} else if _, err := netip.ParseAddr(addr); err != nil {
		return "", nil, notFound("%s has no cluster IP yet, and is not headless: see its spec.clusterIP", what)
	}
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			ports = append(ports, port{number: p.Port, name: p.Name, app: p.AppProtocol})
		}
	}
	return addr, ports, problem{}
}

// importOf is where an import is called; near: a loopback address may be one.
func importOf(s *mcsv1beta1.ServiceImport, what string, near bool) (addr string, ports []port, why problem) {
	if s == nil {
		return "", nil, notFound("%s does not exist: export the service in a cluster, and see eastway status", what)
	}
	if len(s.Spec.IPs) == 0 {
		return "", nil, notFound("%s has no address yet, or is headless: see its status", what)
	}
	if addr, err := netip.ParseAddr(s.Spec.IPs[0]); err != nil || !callable(addr.Unmap()) || addr.Unmap().IsLoopback() && !near {
		return "", nil, notFound("%s: spec.ips[0] is no address of a service", what)
	}
	for i := range s.Spec.Ports {
		if p := &s.Spec.Ports[i]; p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
			ports = append(ports, port{number: p.Port, name: p.Name, app: p.AppProtocol})
		}
	}
	return s.Spec.IPs[0], ports, problem{}
}

func notFound(format string, args ...any) problem {
	return problem{gatewayv1.RouteReasonBackendNotFound, fmt.Sprintf(format, args...)}
}

// choosePort is the port with that number; with derive, it may be left out if there is one only.
func choosePort(ports []port, number *int32, derive bool, what string) (port, problem) {
	if number == nil {
		if derive && len(ports) == 1 {
			return checkedPort(ports[0], what)
		}
		return port{}, notFound("port: required for %s", what)
	}
	for _, p := range ports {
		if p.number == *number {
			return checkedPort(p, what)
		}
	}
	return port{}, notFound("%s has no TCP port %d", what, *number)
}

func checkedPort(p port, what string) (port, problem) {
	if p.number < 1 || p.number > 65535 {
		return p, notFound("%s: port %d is none of TCP", what, p.number)
	}
	return p, problem{}
}

// protocolOf a port: by appProtocol, else by Istio's prefixes of names. With auto, gRPC is sent by HTTP/2 all the same. Some are for ports with
// TLS alone.
func protocolOf(p port, secure bool) (protocol Protocol, auto, ok bool) {
	if p.app == nil || *p.app == "" {
		switch prefix, _, _ := strings.Cut(p.name, "-"); prefix {
		case "grpc", "http2":
			return H2C, false, true
		}
		return HTTP1, true, true
	}
	switch strings.ToLower(*p.app) {
	case "http", "tcp":
		return HTTP1, true, true
	case "kubernetes.io/ws":
		return HTTP1, false, true
	case "https":
		return HTTP1, true, secure
	case "kubernetes.io/wss":
		return HTTP1, false, secure
	case "kubernetes.io/h2c", "http2", "grpc", "grpc-web":
		return H2C, false, true
	}
	return 0, false, false
}
