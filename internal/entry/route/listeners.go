package route

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// gateway is one that is Eastway's.
type gateway struct {
	name      types.NamespacedName
	object    *gatewayv1.Gateway
	listeners []*listener
	invalid   problems // with the Gateway itself
	unused    []string // fields that have no effect

	client     *Certificate // for backends; nil: none
	unresolved problems     // ResolvedRefs: of client
}

// listener of a gateway.
type listener struct {
	gateway  *gateway
	spec     *gatewayv1.Listener
	hostname string
	kinds    []gatewayv1.RouteGroupKind
	selects  labels.Selector // of namespaces; nil: from says which
	from     gatewayv1.FromNamespaces
	certs    []*Certificate
	clients  *ClientAuth

	invalid    problems // Accepted
	unresolved problems // ResolvedRefs
	conflicts  problems // Conflicted
	overlaps   problems // OverlappingTLSConfig
	pending    string   // why there is no port of the process for it; empty: bound is the one
	bound      uint16

	attached int32
	taken    map[gatewayv1.Kind]*hostSet // hostnames of routes that are attached
	entries  map[string][]*entry         // by hostname
}

// supported: the protocol is one that is served.
func (l *listener) supported() bool {
	return l.spec.Protocol == gatewayv1.HTTPProtocolType || l.spec.Protocol == gatewayv1.HTTPSProtocolType
}

func (l *listener) tls() bool { return l.spec.Protocol == gatewayv1.HTTPSProtocolType }

func (l *listener) accepted() bool { return !l.invalid.some() && !l.conflicts.some() }

// usable: it can be programmed, unless it is in a conflict.
func (l *listener) usable() bool {
	return !l.invalid.some() && !l.gateway.invalid.some() && (!l.tls() || len(l.certs) > 0) && len(l.kinds) > 0
}

// served: there is nothing wrong with it.
func (l *listener) served() bool { return l.usable() && !l.conflicts.some() }

func (l *listener) programmed() bool { return l.served() && l.pending == "" }

// listener as the Table has it.
func (l *listener) listener(limits []*Limit) *Listener {
	out := &Listener{
		Gateway: l.gateway.name, Name: string(l.spec.Name), Port: uint16(l.spec.Port),
		TLS: l.tls(), Hostname: l.hostname, Certificates: l.certs, Client: l.gateway.client, Clients: l.clients, limits: limits,
	}
	for hostname, entries := range l.entries {
		out.routes.set(hostname, newIndex(entries))
	}
	return out
}

// addGateways are those of these classes, their listeners checked alone and against each other.
func (c *compiler) addGateways(classes map[string]bool) []*gateway {
	var out []*gateway
	for _, object := range inOrder(c.in.Gateways) {
		g := &gateway{name: nameOf(object), object: object}
		if !classes[string(object.Spec.GatewayClassName)] || c.gateways[g.name] != nil {
			continue
		}
		g.check()
		g.readClient(c)
		names := make(map[gatewayv1.SectionName]bool)
		for i := range object.Spec.Listeners {
			l := &listener{gateway: g, spec: &object.Spec.Listeners[i], entries: make(map[string][]*entry)}
			c.checkListener(l)
			if names[l.spec.Name] {
				l.invalid.add(string(gatewayv1.ListenerReasonUnsupportedValue), "another listener has this name too: names must be unique")
			}
			names[l.spec.Name] = true
			g.listeners = append(g.listeners, l)
		}
		c.gateways[g.name], out = g, append(out, g)
	}
	bind(c.in.Bindings, out)
	checkTogether(out)
	return out
}

func (g *gateway) check() {
	spec := &g.object.Spec
	if i := ChosenAddress(spec.Addresses); i >= 0 {
		g.invalid.add(string(gatewayv1.GatewayReasonUnsupportedAddress),
			"spec.addresses[%d]: addresses cannot be chosen: remove it, or leave out its value; the Service in front of the entry has them", i)
	}
	if spec.Infrastructure != nil && spec.Infrastructure.ParametersRef != nil {
		g.invalid.add(string(gatewayv1.GatewayReasonInvalidParameters), "spec.infrastructure.parametersRef: not supported: remove it")
	}
	if n := len(spec.Listeners); n == 0 || n > maxListeners {
		g.invalid.add(string(gatewayv1.GatewayReasonListenersNotValid), "spec.listeners: must have 1 to %d, has %d", maxListeners, n)
	}
	if spec.AllowedListeners != nil {
		g.unused = append(g.unused, "spec.allowedListeners: ListenerSets are not supported")
	}
	if spec.DefaultScope != "" && spec.DefaultScope != gatewayv1.GatewayDefaultScopeNone {
		g.unused = append(g.unused, "spec.defaultScope: not supported: name the Gateway in each route's parentRefs")
	}
}

// ChosenAddress is the index of the first address that a Gateway asks for and cannot get: one with a value, or of a type that no Service has.
// It is -1 if there is none.
func ChosenAddress(addresses []gatewayv1.GatewaySpecAddress) int {
	return slices.IndexFunc(addresses, func(a gatewayv1.GatewaySpecAddress) bool {
		known := a.Type == nil || *a.Type == "" || *a.Type == gatewayv1.IPAddressType || *a.Type == gatewayv1.HostnameAddressType
		return a.Value != "" || !known
	})
}

// checkListener checks one listener alone.
func (c *compiler) checkListener(l *listener) {
	const unsupported = string(gatewayv1.ListenerReasonUnsupportedValue)
	if !l.supported() {
		l.invalid.add(string(gatewayv1.ListenerReasonUnsupportedProtocol), "protocol: %s is not supported: use HTTP or HTTPS", l.spec.Protocol)
		return
	}
	if l.spec.Port < 1 || l.spec.Port > 65535 {
		l.invalid.add(unsupported, "port: must be between 1 and 65535, is %d", l.spec.Port)
	}
	if l.spec.Hostname != nil {
		l.hostname = string(*l.spec.Hostname)
	}
	if l.hostname != "" {
		if wrong := checkHostname(l.hostname); wrong != "" {
			l.invalid.add(unsupported, "hostname: %s", wrong)
		}
	}
	l.checkRoutes()
	switch {
	case l.tls():
		c.checkTLS(l)
	case l.spec.TLS != nil:
		l.invalid.add(unsupported, "tls: a listener with protocol HTTP has none: remove it, or use HTTPS")
	}
}

// checkRoutes reads which routes the listener allows.
func (l *listener) checkRoutes() {
	group := gatewayv1.Group(groupGateway)
	all := []gatewayv1.RouteGroupKind{{Group: &group, Kind: kindRoute}, {Group: &group, Kind: kindGRPC}}
	l.from, l.kinds = gatewayv1.NamespacesFromSame, all
	allowed := l.spec.AllowedRoutes
	if allowed == nil {
		return
	}
	if len(allowed.Kinds) > 0 {
		l.kinds = []gatewayv1.RouteGroupKind{}
		for _, k := range allowed.Kinds {
			switch {
			case k.Group != nil && *k.Group != group || k.Kind != kindRoute && k.Kind != kindGRPC:
				l.unresolved.add(string(gatewayv1.ListenerReasonInvalidRouteKinds),
					"allowedRoutes.kinds: %s is not supported: use HTTPRoute or GRPCRoute", k.Kind)
			case !l.takes(k.Kind):
				l.kinds = append(l.kinds, gatewayv1.RouteGroupKind{Group: &group, Kind: k.Kind})
			}
		}
	}
	if ns := allowed.Namespaces; ns != nil && ns.From != nil {
		l.from = *ns.From
		if l.from == gatewayv1.NamespacesFromSelector {
			var err error
			if l.selects, err = metav1.LabelSelectorAsSelector(ns.Selector); err != nil {
				l.invalid.add(string(gatewayv1.ListenerReasonUnsupportedValue), "allowedRoutes.namespaces.selector: %v", err)
			}
		}
	}
}

// takes: routes of the kind may attach.
func (l *listener) takes(kind gatewayv1.Kind) bool {
	return slices.ContainsFunc(l.kinds, func(k gatewayv1.RouteGroupKind) bool { return k.Kind == kind })
}

// allows: routes of a namespace may attach.
func (l *listener) allows(namespace string, namespaceLabels map[string]string) bool {
	switch {
	case l.from == gatewayv1.NamespacesFromAll:
		return true
	case l.from == gatewayv1.NamespacesFromSame:
		return namespace == l.gateway.name.Namespace
	case l.from == gatewayv1.NamespacesFromSelector && l.selects != nil:
		all := labels.Merge(namespaceLabels, labels.Set{corev1.LabelMetadataName: namespace})
		return l.selects.Matches(all)
	}
	return false
}

func (c *compiler) checkTLS(l *listener) {
	const unsupported, invalid = string(gatewayv1.ListenerReasonUnsupportedValue), string(gatewayv1.ListenerReasonInvalidCertificateRef)
	l.readClients(c)
	if l.spec.TLS == nil || len(l.spec.TLS.CertificateRefs) == 0 {
		l.unresolved.add(invalid, "tls.certificateRefs: required for protocol HTTPS: name a Secret of type kubernetes.io/tls")
		return
	}
	if mode := l.spec.TLS.Mode; mode != nil && *mode != gatewayv1.TLSModeTerminate {
		l.invalid.add(unsupported, "tls.mode: %s is not supported: use Terminate", *mode)
	}
	for i := range l.spec.TLS.CertificateRefs {
		cert, reason, wrong := c.certificate(l.gateway.name.Namespace, &l.spec.TLS.CertificateRefs[i])
		if wrong != "" {
			l.unresolved.add(string(reason), "tls.certificateRefs[%d]: %s", i, wrong)
		}
		if cert != nil {
			l.certs = append(l.certs, cert)
		}
	}
}

// certificate that a Gateway of a namespace refers to, and what is wrong with it: it may be the one that is kept.
func (c *compiler) certificate(namespace string, ref *gatewayv1.SecretObjectReference) (*Certificate, gatewayv1.ListenerConditionReason, string) {
	name := nameIn(namespace, ref.Namespace, ref.Name)
	if ref.Group != nil && *ref.Group != "" || ref.Kind != nil && *ref.Kind != kindSecret {
		return nil, gatewayv1.ListenerReasonInvalidCertificateRef, "must be a Secret"
	}
	if !c.grants.allow(kindGateway, namespace, "", kindSecret, name) {
		return nil, gatewayv1.ListenerReasonRefNotPermitted,
			fmt.Sprintf("no ReferenceGrant in namespace %s lets Gateways of namespace %s use Secret %s", name.Namespace, namespace, name.Name)
	}
	cert, wrong := readCertificate(c.secrets[name], name)
	switch {
	case wrong == "":
		c.good[name] = cert
	case c.secrets[name] != nil && c.kept.good[name] != nil:
		cert = c.kept.good[name]
		wrong += "; its last good certificate stays in use until this process ends: replace both of tls.crt and tls.key"
	}
	return cert, gatewayv1.ListenerReasonInvalidCertificateRef, prefixed(fmt.Sprintf("Secret %s ", name), wrong)
}

// readCertificate reads the certificate of a Secret, or says what is wrong with it.
func readCertificate(secret *corev1.Secret, name types.NamespacedName) (*Certificate, string) {
	if secret == nil {
		return nil, "does not exist, or the entry may not read it: create it with kubectl create secret tls, and see 'eastway entry status'"
	}
	if secret.Type != corev1.SecretTypeTLS && secret.Type != "" {
		return nil, "must be of type " + string(corev1.SecretTypeTLS)
	}
	read := func(key string) []byte {
		if text, ok := secret.StringData[key]; ok {
			return []byte(text)
		}
		return secret.Data[key]
	}
	pair, err := tls.X509KeyPair(read(corev1.TLSCertKey), read(corev1.TLSPrivateKeyKey))
	if err != nil {
		return nil, fmt.Sprintf("has no certificate with its key in tls.crt and tls.key: %v", err)
	}
	return &Certificate{Secret: name, Pair: &pair, Key: chainKey(pair.Certificate)}, ""
}

func (g *gateway) status() gatewayv1.GatewayStatus {
	var out gatewayv1.GatewayStatus
	served := 0
	pending := ""
	var bad []string
	for _, l := range g.listeners {
		if l.served() {
			served++
			pending = cmp.Or(pending, l.pending)
		}
		if !l.accepted() {
			bad = append(bad, string(l.spec.Name))
		}
		out.Listeners = append(out.Listeners, l.status())
	}
	reason, text := string(gatewayv1.GatewayReasonAccepted), ""
	if len(bad) > 0 {
		reason, text = string(gatewayv1.GatewayReasonListenersNotValid), "not accepted: listeners "+strings.Join(bad, ", ")
	}
	if len(g.unused) > 0 {
		text = strings.Join(slices.Concat([]string{text}, g.unused), "; ")
		text = strings.TrimPrefix(text, "; ")
	}
	accepted := newCondition(gatewayv1.GatewayConditionAccepted, len(bad) < len(g.listeners), reason, text)
	if g.invalid.some() {
		accepted = newCondition(gatewayv1.GatewayConditionAccepted, false, g.invalid.reason, g.invalid.text())
	}
	ready := newCondition(gatewayv1.GatewayConditionProgrammed, true, gatewayv1.GatewayReasonProgrammed, "")
	switch {
	case served == 0:
		ready = newCondition(gatewayv1.GatewayConditionProgrammed, false, gatewayv1.GatewayReasonInvalid, "no listener can be used")
	case pending != "":
		ready = newCondition(gatewayv1.GatewayConditionProgrammed, false, gatewayv1.GatewayReasonPending, pending)
	}
	out.Conditions = observed(g.object.Generation, append([]metav1.Condition{accepted, ready}, g.clientConditions()...)...)
	return out
}

func (l *listener) status() gatewayv1.ListenerStatus {
	accepted, conflicted := l.invalid, l.conflicts
	if !accepted.some() {
		accepted = conflicted
	}
	ready := newCondition(gatewayv1.ListenerConditionProgrammed, true, gatewayv1.ListenerReasonProgrammed, "")
	switch {
	case !l.served():
		ready = newCondition(gatewayv1.ListenerConditionProgrammed, false, gatewayv1.ListenerReasonInvalid, "see the other conditions")
	case l.pending != "":
		ready = newCondition(gatewayv1.ListenerConditionProgrammed, false, gatewayv1.ListenerReasonPending, l.pending)
	}
	list := []metav1.Condition{
		newCondition(gatewayv1.ListenerConditionAccepted, !accepted.some(), accepted.or(string(gatewayv1.ListenerReasonAccepted)), accepted.text()),
		ready,
		newCondition(gatewayv1.ListenerConditionResolvedRefs, !l.unresolved.some(),
			l.unresolved.or(string(gatewayv1.ListenerReasonResolvedRefs)), l.unresolved.text()),
		newCondition(gatewayv1.ListenerConditionConflicted, conflicted.some(),
			conflicted.or(string(gatewayv1.ListenerReasonNoConflicts)), conflicted.text()),
	}
	if l.overlaps.some() {
		list = append(list, newCondition(gatewayv1.ListenerConditionOverlappingTLSConfig, true, l.overlaps.reason, l.overlaps.text()))
	}
	return gatewayv1.ListenerStatus{
		Name: l.spec.Name, SupportedKinds: append([]gatewayv1.RouteGroupKind{}, l.kinds...), // empty, not absent
		AttachedRoutes: l.attached, Conditions: observed(l.gateway.object.Generation, list...),
	}
}
