package istio

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// mesh is the gateway that stands for calls between services.
const mesh = "mesh"

// settings is what a VirtualService means for the services that it is for.
type settings struct {
	// mesh is false if it is for gateways only.
	mesh    bool
	retries *v1alpha1.Retries
	timeout *metav1.Duration
	ports   []portAt
}

func (s *settings) empty() bool { return s.retries == nil && s.timeout == nil }

func route(v *VirtualService) (settings, []Finding) {
	var f findings
	if g := v.Spec.Gateways; len(g) > 0 && !slices.Contains(g, mesh) {
		f.add(Ignored, "spec.gateways", "calls between services do not pass these gateways: nothing comes of the VirtualService")
		return settings{}, f
	}
	if len(v.Spec.Hosts) == 0 {
		f.add(Refused, "spec.hosts", "required: the Services, or the hosts of ServiceEntries, that it is for")
	}
	f.exported(v.Spec.ExportTo)
	out := settings{mesh: true}
	for i := range v.Spec.HTTP {
		out.ports = append(out.ports, shares(&f, v, fmt.Sprintf("spec.http[%d]", i), v.Spec.HTTP[i].Route)...)
	}
	for i := range v.Spec.TCP {
		out.ports = append(out.ports, shares(&f, v, fmt.Sprintf("spec.tcp[%d]", i), v.Spec.TCP[i].Route)...)
	}
	for i := range v.Spec.TLS {
		out.ports = append(out.ports, shares(&f, v, fmt.Sprintf("spec.tls[%d]", i), v.Spec.TLS[i].Route)...)
	}
	if i := chosen(&f, v.Spec.HTTP); i >= 0 {
		at, h := fmt.Sprintf("spec.http[%d]", i), &v.Spec.HTTP[i]
		out.timeout, out.retries = h.Timeout, retries(&f, at+".retries", h.Retries)
		spec := &v1alpha1.TrafficPolicySpec{Timeout: out.timeout, Retries: out.retries}
		f.invalid(v1alpha1.ValidateTrafficPolicy(named(spec)), func(path string) string {
			path = strings.Replace(path, ".backoff.baseInterval", ".backoff", 1)
			return strings.Replace(path, "spec.", at+".", 1)
		})
	}
	return out, f
}

// shares refuses destinations that are not the host itself.
func shares(f *findings, v *VirtualService, at string, list []Share) (ports []portAt) {
	weighted := slices.ContainsFunc(list, func(s Share) bool { return s.Weight > 0 })
	if len(list) > 1 && !weighted {
		f.add(Refused, at+".route", "has several destinations, and none has a weight above 0: calls would go to one of them, it is not clear which")
	}
	for i := range list {
		d, here := &list[i].Destination, fmt.Sprintf("%s.route[%d].destination", at, i)
		if list[i].Weight == 0 && weighted {
			continue
		}
		other, differs := v.other(d.Host)
		switch outside := resolve(d.Host, v.Namespace).outside; {
		case d.Host == "":
			f.add(Refused, here+".host", "required")
		case differs:
			f.add(Refused, here+".host", "%.80q is not the host %.80q: calls always go to the service that was called; to divide them among "+
				"clusters or localities, use distribute of a DestinationRule; for several hosts, write a VirtualService for each", d.Host, other)
		case d.Subset != "":
			f.add(Refused, here+".subset", "there are no subsets, calls would go to all endpoints: make a Service for each")
		case d.Port != nil && outside != "":
			ports = append(ports, portAt{here + ".port", d.Port.Number})
		case d.Port != nil:
			f.add(Changed, here+".port", "calls stay on the port that was called: that is the same one, if the Service has this port only")
		}
	}
	return ports
}

// portAt is a port of a destination: whether it is the one that is called depends on the service.
type portAt struct {
	field  string
	number uint32
}

const otherPort = "calls stay on the port that was called: remove it if that is the same one"

// other is a host of the VirtualService that is not the destination: its calls would be led elsewhere.
func (v *VirtualService) other(destination string) (string, bool) {
	to := resolve(destination, v.Namespace)
	i := slices.IndexFunc(v.Spec.Hosts, func(h string) bool {
		from := resolve(h, v.Namespace)
		return from.namespace != to.namespace || from.name != to.name || from.outside != to.outside
	})
	if i < 0 {
		return "", false
	}
	return v.Spec.Hosts[i], true
}

// chosen is the route whose settings are used, −1 for none: that of all requests, or any, if all have the same.
func chosen(f *findings, list []HTTPRoute) int {
	if len(list) == 0 {
		return -1
	}
	last := slices.IndexFunc(list, func(h HTTPRoute) bool { return matchesAll(h.Match) })
	switch {
	case last >= 0:
	case slices.ContainsFunc(list[1:], func(h HTTPRoute) bool { return !same(&h, &list[0]) }):
		f.add(Changed, "spec.http", "no route is for all requests, and timeout and retries are those of all: none are used; "+
			"requests that match no route are served, not answered with 404")
		return -1
	default:
		f.add(Changed, "spec.http", "no route is for all requests: those that match none are served too, not answered with 404")
		return 0
	}
	for i := range list[:last] {
		if !same(&list[i], &list[last]) {
			f.add(Changed, fmt.Sprintf("spec.http[%d].match", i),
				"timeout and retries are those of all requests, as in http[%d]: the ones of this route are not used", last)
		}
	}
	return last
}

func same(a, b *HTTPRoute) bool {
	return reflect.DeepEqual(a.Retries, b.Retries) && reflect.DeepEqual(a.Timeout, b.Timeout)
}

// matchesAll is true if every request matches.
func matchesAll(match []any) bool {
	if len(match) == 0 {
		return true
	}
	return slices.ContainsFunc(match, func(m any) bool {
		fields, _ := m.(map[string]any)
		for name, value := range fields {
			all := name == "name" || name == "uri" && reflect.DeepEqual(value, map[string]any{"prefix": "/"})
			if !all {
				return false
			}
		}
		return true
	})
}

func retries(f *findings, at string, r *HTTPRetry) *v1alpha1.Retries {
	if r == nil {
		return nil
	}
	out := &v1alpha1.Retries{PerTryTimeout: r.PerTryTimeout}
	switch n := r.Attempts; {
	case n < 0:
		f.add(Refused, at+".attempts", "must not be negative")
		return nil
	case n > v1alpha1.MaxAttempts:
		f.add(Changed, at+".attempts", "is %d, the most there may be", v1alpha1.MaxAttempts)
		out.Attempts = new(uint32(v1alpha1.MaxAttempts))
	default: // 0 is none in Istio, also if it is not set
		out.Attempts = new(uint32(n))
	}
	if r.Backoff != nil && *out.Attempts > 0 {
		out.Backoff = &v1alpha1.RetryBackoff{BaseInterval: r.Backoff}
	}
	if *out.Attempts > 0 {
		out.RetryOn = conditions(f, at+".retryOn", cmp.Or(r.RetryOn, istioRetryOn))
		f.add(Changed, at, "what an endpoint may have executed is repeated only for GET, HEAD, OPTIONS, PUT and DELETE: for POST, and so for gRPC, "+
			"write a TrafficPolicy with retries.methods")
	}
	return out
}

// Conditions of retries.
const (
	istioRetryOn = "connect-failure,refused-stream,unavailable,cancelled" // Istio's default
	// harmless is a condition that adds nothing: without one, Eastway's default would apply.
	harmless    = "connect-failure"
	statusCodes = "retriable-status-codes"
)

// conditions are those of retryOn that Eastway has.
func conditions(f *findings, at, list string) string {
	var known []string
	statuses := false
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		_, err := strconv.Atoi(part)
		one := &v1alpha1.TrafficPolicySpec{Retries: &v1alpha1.Retries{RetryOn: part}}
		switch {
		case part == "":
			continue
		case part == statusCodes:
		case len(v1alpha1.ValidateTrafficPolicy(named(one))) > 0:
			f.add(Changed, at, "%.40q is not known here: nothing is repeated for it; docs/policy.md lists the conditions", part)
			continue
		}
		statuses = statuses || err == nil
		known = append(known, part)
	}
	if !statuses { // it has no meaning without
		known = slices.DeleteFunc(known, func(c string) bool { return c == statusCodes })
	}
	return cmp.Or(strings.Join(known, ","), harmless)
}
