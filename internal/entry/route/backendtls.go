package route

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// BackendTLS is how a backend that is called by TLS proves who it is.
type BackendTLS struct {
	// Key is the same for all that verify alike, in the next Table too.
	Key        string
	Policy     types.NamespacedName // the BackendTLSPolicy
	Roots      *x509.CertPool       // nil: those of the system
	ServerName string               // for SNI; and to be verified, without Names and URIs
	Names      []string             // DNS names, which may begin with "*."; one of these or URIs must be in the certificate
	URIs       []string
}

// rootsKey is the key of a ConfigMap that has the certificates.
const rootsKey = "ca.crt"

// tlsTarget is what a BackendTLSPolicy is for: a service, or one port of it.
type tlsTarget struct {
	kind    string
	name    types.NamespacedName
	section string // the port's name; empty: all ports
}

// tlsPolicy is a BackendTLSPolicy that is being compiled.
type tlsPolicy struct {
	object  *gatewayv1.BackendTLSPolicy
	targets []tlsTarget
	tls     *BackendTLS

	conflicts  problems // Accepted, for another policy that comes first
	missing    problems // Accepted: the target
	invalid    problems // Accepted
	unresolved problems // ResolvedRefs
	unused     problems // fields that have no effect

	ancestors map[types.NamespacedName]bool // Gateways by which the backend is called
}

// tlsPolicies are all BackendTLSPolicies.
type tlsPolicies struct {
	services   map[types.NamespacedName]*corev1.Service
	imports    map[types.NamespacedName]*mcsv1beta1.ServiceImport
	configMaps map[types.NamespacedName]*corev1.ConfigMap
	kept       map[string]*x509.CertPool // of the Table before
	pools      map[string]*x509.CertPool // by the text of the certificates

	list []*tlsPolicy
	by   map[tlsTarget]*tlsPolicy // those that are in force
	at   map[limited][]*tlsPolicy // all, by service
}

func newTLSPolicies(c *compiler) *tlsPolicies {
	return &tlsPolicies{
		services: c.services, imports: c.imports, configMaps: byName(c.in.ConfigMaps), kept: c.kept.pools,
		pools: make(map[string]*x509.CertPool), by: make(map[tlsTarget]*tlsPolicy), at: make(map[limited][]*tlsPolicy),
	}
}

// read reads all BackendTLSPolicies. Of two for one target, the first one counts, even if it is not valid: what it is to keep out must
// not come in by mistake.
func (s *tlsPolicies) read(objects []*gatewayv1.BackendTLSPolicy) {
	for _, object := range inOrder(objects) {
		p := &tlsPolicy{object: object, ancestors: make(map[types.NamespacedName]bool)}
		s.list = append(s.list, p)
		s.readTLSPolicy(p)
		for i, ref := range object.Spec.TargetRefs[:min(len(object.Spec.TargetRefs), maxTargets)] {
			t := tlsTarget{kind: string(ref.Kind), name: types.NamespacedName{Namespace: object.Namespace, Name: string(ref.Name)}}
			if ref.SectionName != nil {
				t.section = string(*ref.SectionName)
			}
			if (ref.Kind != kindService || ref.Group != "") && (ref.Kind != kindImport || ref.Group != groupMCS) {
				p.missing.add(string(gatewayv1.PolicyReasonTargetNotFound),
					"spec.targetRefs[%d]: must be a Service, or a ServiceImport of group %s", i, groupMCS)
				continue
			}
			if ports, ok := s.portNames(t.kind, t.name); ok && t.section != "" && !slices.Contains(ports, t.section) {
				p.missing.add(string(gatewayv1.PolicyReasonTargetNotFound),
					"spec.targetRefs[%d].sectionName: %s %s has no port of this name", i, t.kind, t.name)
			}
			p.targets = append(p.targets, t)
			s.at[limited{t.kind, t.name}] = append(s.at[limited{t.kind, t.name}], p)
			if first := s.by[t]; first != nil && first != p {
				p.conflicts.add(string(gatewayv1.PolicyReasonConflicted),
					"spec.targetRefs[%d]: BackendTLSPolicy %s is for it too and comes first: it is older, or as old and before this one by name",
					i, nameOf(first.object))
				continue
			}
			s.by[t] = p
		}
	}
}

// portNames are those of a service; not ok: there is none of that name.
func (s *tlsPolicies) portNames(kind string, name types.NamespacedName) (out []string, ok bool) {
	if o := s.services[name]; o != nil && kind == kindService {
		for i := range o.Spec.Ports {
			out = append(out, o.Spec.Ports[i].Name)
		}
		return out, true
	}
	if o := s.imports[name]; o != nil && kind == kindImport {
		for i := range o.Spec.Ports {
			out = append(out, o.Spec.Ports[i].Name)
		}
		return out, true
	}
	return nil, false
}

// of is the policy for a port of a service; nil: there is none. One that names the port comes first.
func (s *tlsPolicies) of(kind string, name types.NamespacedName, portName string) *tlsPolicy {
	if p := s.by[tlsTarget{kind, name, portName}]; p != nil && portName != "" {
		return p
	}
	return s.by[tlsTarget{kind: kind, name: name}]
}

// secure applies the policy to a backend, if there is one.
func (p *tlsPolicy) secure(b *Backend) {
	switch {
	case p == nil:
	case p.tls == nil:
		b.broken = fmt.Sprintf("BackendTLSPolicy %s is not valid: see its status", nameOf(p.object))
	default:
		b.TLS = p.tls
	}
}

// readTLSPolicy makes of a policy what is verified.
func (s *tlsPolicies) readTLSPolicy(p *tlsPolicy) {
	const invalid = string(gatewayv1.PolicyReasonInvalid)
	spec := &p.object.Spec
	v := &spec.Validation
	if n := len(spec.TargetRefs); n == 0 || n > maxTargets {
		p.invalid.add(invalid, "spec.targetRefs: must have 1 to %d, has %d", maxTargets, n)
	}
	out := &BackendTLS{Policy: nameOf(p.object), ServerName: string(v.Hostname)}
	if wrong := checkHostname(out.ServerName); wrong != "" || strings.HasPrefix(out.ServerName, "*") {
		p.invalid.add(invalid, "spec.validation.hostname: %s", cmp.Or(wrong, "must not begin with *"))
	}
	p.readNames(out)
	if len(spec.Options) > 0 {
		p.unused.add("Unused", "spec.options: not used")
	}
	texts := s.readTrust(p)
	if p.invalid.some() {
		return
	}
	out.Key = keyOf(out, texts)
	if len(texts) > 0 {
		out.Roots = s.pool(texts)
	}
	p.tls = out
}

// readTrust reads where the certificate must come from: these texts of certificates; none: the system's.
func (s *tlsPolicies) readTrust(p *tlsPolicy) []string {
	const invalid = string(gatewayv1.PolicyReasonInvalid)
	v := &p.object.Spec.Validation
	refs, wellKnown := v.CACertificateRefs, v.WellKnownCACertificates
	given := wellKnown != nil && *wellKnown != ""
	switch {
	case len(refs) > 0 && given:
		p.invalid.add(invalid, "spec.validation: caCertificateRefs and wellKnownCACertificates exclude each other")
	case given && *wellKnown != gatewayv1.WellKnownCACertificatesSystem:
		p.invalid.add(invalid, "spec.validation.wellKnownCACertificates: %s is not supported: use System, or caCertificateRefs", *wellKnown)
	case len(refs) == 0 && !given:
		p.invalid.add(invalid, "spec.validation: caCertificateRefs or wellKnownCACertificates is required")
	case len(refs) > maxTargets:
		p.invalid.add(invalid, "spec.validation.caCertificateRefs: may have %d, has %d", maxTargets, len(refs))
	case !given:
		return s.readRoots(p, refs)
	}
	return nil
}

// readNames reads what must be in the certificate besides, or instead of, the hostname.
func (p *tlsPolicy) readNames(out *BackendTLS) {
	const invalid = string(gatewayv1.PolicyReasonInvalid)
	names := p.object.Spec.Validation.SubjectAltNames
	if len(names) > maxAltNames {
		p.invalid.add(invalid, "spec.validation.subjectAltNames: may have %d, has %d", maxAltNames, len(names))
		return
	}
	for i, n := range names {
		switch n.Type {
		case gatewayv1.HostnameSubjectAltNameType:
			if wrong := checkHostname(string(n.Hostname)); wrong != "" {
				p.invalid.add(invalid, "spec.validation.subjectAltNames[%d].hostname: %s", i, wrong)
			}
			out.Names = append(out.Names, string(n.Hostname))
		case gatewayv1.URISubjectAltNameType:
			if u, err := url.Parse(string(n.URI)); err != nil || !u.IsAbs() || len(n.URI) > maxPathValue {
				p.invalid.add(invalid, "spec.validation.subjectAltNames[%d].uri: must be a URI with a scheme of %d bytes at most", i, maxPathValue)
			}
			out.URIs = append(out.URIs, string(n.URI))
		default:
			p.invalid.add(invalid, "spec.validation.subjectAltNames[%d].type: use Hostname or URI", i)
		}
	}
}

// readRoots are the certificates of the ConfigMaps that can be used.
func (s *tlsPolicies) readRoots(p *tlsPolicy, refs []gatewayv1.LocalObjectReference) []string {
	var texts []string
	for i, ref := range refs {
		at := fmt.Sprintf("spec.validation.caCertificateRefs[%d]", i)
		if ref.Kind != kindConfigMap || ref.Group != "" {
			p.unresolved.add(string(gatewayv1.BackendTLSPolicyReasonInvalidKind), "%s: %s is not supported: use a ConfigMap", at, ref.Kind)
			continue
		}
		name := types.NamespacedName{Namespace: p.object.Namespace, Name: string(ref.Name)}
		text, wrong := rootsOf(s.configMaps[name])
		if wrong != "" {
			p.unresolved.add(string(gatewayv1.BackendTLSPolicyReasonInvalidCACertificateRef), "%s: ConfigMap %s %s", at, name, wrong)
			continue
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		p.invalid.add(string(gatewayv1.BackendTLSPolicyReasonNoValidCACertificate),
			"spec.validation.caCertificateRefs: none can be used: see the condition ResolvedRefs")
	}
	return texts
}

// rootsOf is the text of a ConfigMap's certificates, or what is wrong with it.
func rootsOf(m *corev1.ConfigMap) (text, wrong string) {
	if m == nil {
		return "", "does not exist, or the entry may not read it: create it with the key ca.crt, and see 'eastway entry status'"
	}
	text = m.Data[rootsKey]
	if text == "" {
		return "", "has no key ca.crt"
	}
	rest, found := []byte(text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return "", fmt.Sprintf("has a block %q in ca.crt: it must have certificates alone", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Sprintf("has a certificate in ca.crt that cannot be read: %v", err)
		}
		if found++; found > maxRoots {
			return "", fmt.Sprintf("has more than %d certificates in ca.crt", maxRoots)
		}
	}
	if found == 0 {
		return "", "has no certificate in PEM form in ca.crt"
	}
	return text, ""
}

// pool has these certificates. It is kept from Table to Table: reading them takes time.
func (s *tlsPolicies) pool(texts []string) *x509.CertPool {
	all := strings.Join(texts, "\n")
	out := s.kept[all]
	if out == nil {
		out = x509.NewCertPool()
		out.AppendCertsFromPEM([]byte(all))
	}
	s.pools[all] = out
	return out
}

// keyOf names what is verified.
func keyOf(t *BackendTLS, texts []string) string {
	h := sha256.New()
	for _, list := range [][]string{{t.ServerName}, t.Names, t.URIs, texts} {
		fmt.Fprintf(h, "%d\n", len(list))
		for _, s := range list {
			fmt.Fprintf(h, "%d %s\n", len(s), s)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// noteUse notes that a route of a Gateway calls these backends.
func (s *tlsPolicies) noteUse(g *gateway, used map[limited]bool) {
	for target := range used {
		for _, p := range s.at[target] {
			p.ancestors[g.name] = true
		}
	}
}

// status at each Gateway by which the backend is called; API servers take maxAncestors.
func (p *tlsPolicy) status() []gatewayv1.PolicyAncestorStatus {
	var names []types.NamespacedName
	for name := range p.ancestors {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	var out []gatewayv1.PolicyAncestorStatus
	for _, name := range names[:min(len(names), maxAncestors)] {
		group, kind, namespace := gatewayv1.Group(groupGateway), gatewayv1.Kind(kindGateway), gatewayv1.Namespace(name.Namespace)
		out = append(out, gatewayv1.PolicyAncestorStatus{
			AncestorRef: gatewayv1.ParentReference{
				Group: &group, Kind: &kind, Namespace: &namespace, Name: gatewayv1.ObjectName(name.Name),
			},
			ControllerName: ControllerName, Conditions: observed(p.object.Generation, p.conditions()...),
		})
	}
	return out
}

func (p *tlsPolicy) conditions() []metav1.Condition {
	refused := p.conflicts
	if !refused.some() {
		refused = p.missing
	}
	if !refused.some() {
		refused = p.invalid
	}
	text := refused.text()
	if !refused.some() {
		text = p.unused.text()
	}
	return []metav1.Condition{
		newCondition(gatewayv1.PolicyConditionAccepted, !refused.some(), refused.or(string(gatewayv1.PolicyReasonAccepted)), text),
		newCondition(gatewayv1.BackendTLSPolicyConditionResolvedRefs, !p.unresolved.some(),
			p.unresolved.or(string(gatewayv1.BackendTLSPolicyReasonResolvedRefs)), p.unresolved.text()),
	}
}
