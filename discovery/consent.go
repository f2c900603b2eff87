package discovery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Rules that decide whether a peer may call a service, beside those of its Peer: "exports." and the field below spec.exports.
const (
	// RuleNoPeer: there is no Peer manifest of that name.
	RuleNoPeer = "no-peer"
	// RuleNotExported: the service has no ServiceExport, or is not here at all.
	RuleNotExported = "not-exported"
	// RuleExportTo: the annotation of the ServiceExport does not name the peer.
	RuleExportTo = "export-to"
	// RuleExported: there is a ServiceExport, and nothing restricts it.
	RuleExported = "exported"
)

// Verdict is whether a peer may call a service.
type Verdict struct {
	Allowed bool
	// Rule is what decides: one of the Rule constants, or a field of the Peer, such as "exports.deny[0]".
	Rule string
	// DryRun is the rule that would deny it without its dry run, the owner's before that of the Peer; empty: none.
	DryRun string
}

// Restricted is true if a rule denies what the ServiceExport offers to others.
func (v Verdict) Restricted() bool {
	return !v.Allowed && v.Rule != RuleNotExported && v.Rule != RuleNoPeer
}

// MayCall decides whether a peer may call a service of the own cluster; both may be nil. What the catalog sends to peers, what proxies serve,
// and what `eastway authz explain` prints depend on it alone.
func MayCall(p *Peer, s *Service) Verdict {
	switch {
	case s == nil || s.Export == nil:
		return Verdict{Rule: RuleNotExported}
	case p == nil:
		return Verdict{Rule: RuleNoPeer}
	}
	named := slices.Contains(s.Export.To, p.Name)
	excluded := s.Export.To != nil && !named
	if excluded && !s.Export.ToDryRun {
		return Verdict{Rule: RuleExportTo}
	}
	v := byPeer(p, s)
	switch {
	case !v.Allowed:
	case excluded:
		v.DryRun = RuleExportTo
	case named && v == Verdict{Allowed: true, Rule: RuleExported}:
		v.Rule = RuleExportTo
	}
	return v
}

// byPeer is what the rules of a Peer say about a service that is exported.
func byPeer(p *Peer, s *Service) Verdict {
	allowed, rule := p.Spec.Exports.Decide(s.Name.Namespace, s.Name.Name)
	switch {
	case rule == "":
		return Verdict{Allowed: true, Rule: RuleExported}
	case !allowed && p.Spec.Exports.DryRun:
		return Verdict{Allowed: true, Rule: RuleExported, DryRun: "exports." + rule}
	}
	return Verdict{Allowed: allowed, Rule: "exports." + rule}
}

// reserved are the namespaces of which nothing is used that a peer exports: a service there that a peer answers would be the cluster itself.
// Kubernetes reserves those that begin with kube-; Eastway's are the chart's default and own, the one that it is installed in.
func reserved(namespace, own string) bool {
	return strings.HasPrefix(namespace, "kube-") || namespace == "eastway-system" || namespace == own
}

// MayImport decides whether this cluster uses what a peer exports under that name; p may be nil, and own is the namespace that Eastway is
// installed in. The rule is "reserved", a field of the Peer such as "imports.deny[0]", or empty if none restricts it.
func MayImport(p *Peer, own string, name ServiceName) (allowed bool, rule string) {
	switch {
	case p == nil:
		return false, RuleNoPeer
	case reserved(name.Namespace, own):
		return false, "reserved"
	}
	if allowed, rule = p.Spec.Imports.Decide(name.Namespace, name.Name); rule != "" {
		rule = "imports." + rule
	}
	return allowed, rule
}

// consents is true if calls of a service that the own cluster has, nil if it has none, may go to the peer.
func consents(p *Peer, s *Service) bool {
	return s == nil || !s.Private || p.Spec.Imports.Consents(s.Name.Namespace, s.Name.Name)
}

// ConsentRemedy is what has a peer answer for a service that is Private.
func ConsentRemedy(peer string, name ServiceName) string {
	return fmt.Sprintf(`if it may, give the Service a ServiceExport or the annotation %s: "true", or list %s in spec.imports.allow of Peer %s, `+
		`beside */* if that is a new list`, v1alpha1.TakeoverAnnotation, name, peer)
}

// unused are the services that the own cluster has and does not share with a peer that exports them, by peer: how many, and the first.
func (s *Snapshot) unused() map[string]unusedExports {
	out := map[string]unusedExports{}
	for name, svc := range s.Services.All() {
		for _, peer := range svc.Unused {
			u := out[peer]
			if u.services++; u.services == 1 || name.Compare(u.first) < 0 {
				u.first = name
			}
			out[peer] = u
		}
	}
	return out
}

type unusedExports struct {
	services int
	first    ServiceName
}

func (u unusedExports) problem(peer string) string {
	return fmt.Sprintf("peer %s exports %d services that this cluster has too, such as %s, without consent that it answers for them: "+
		"their calls do not go there; %s", peer, u.services, u.first, ConsentRemedy(peer, u.first))
}

// Explain is what a verdict about a peer and a service is based on, for people; p and s are those that it was made of.
func (v Verdict) Explain(peer string, p *Peer, name ServiceName, s *Service) string {
	switch v.DryRun {
	case "":
	case RuleExportTo:
		return fmt.Sprintf("%s on ServiceExport %s would deny it: %s; but there is %s", v1alpha1.ExportToAnnotation, name,
			strings.Join(s.Export.To, ","), v1alpha1.ExportToDryRunAnnotation)
	default:
		return fmt.Sprintf("spec.%s of Peer %s would deny it, but has dryRun", v.DryRun, peer)
	}
	switch v.Rule {
	case RuleNotExported:
		return fmt.Sprintf("there is no Service with a ServiceExport %s here", name)
	case RuleNoPeer:
		return fmt.Sprintf("there is no Peer %s here", peer)
	case RuleExportTo:
		return fmt.Sprintf("%s on ServiceExport %s: %s", v1alpha1.ExportToAnnotation, name, strings.Join(s.Export.To, ","))
	case RuleExported:
		return "the ServiceExport has no annotation " + v1alpha1.ExportToAnnotation + ", and the Peer no rule for it"
	case "exports.allow":
		return fmt.Sprintf("spec.exports.allow of Peer %s does not have it: %s", peer, strings.Join(p.Spec.Exports.Allow, " "))
	}
	return fmt.Sprintf("spec.%s of Peer %s", v.Rule, peer)
}
