package route

import (
	"fmt"
	"regexp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// anyRoute is an HTTPRoute, or a GRPCRoute as one: with its metadata, and with what both kinds have.
type anyRoute struct {
	*gatewayv1.HTTPRoute

	kind gatewayv1.Kind
	grpc []gatewayv1.GRPCRouteRule // of a GRPCRoute: for the matches
}

// allRoutes are the routes of both kinds.
func allRoutes(in *Manifests) []*anyRoute {
	out := make([]*anyRoute, 0, len(in.Routes)+len(in.GRPCRoutes))
	for _, r := range in.Routes {
		out = append(out, &anyRoute{HTTPRoute: r, kind: kindRoute})
	}
	for _, r := range in.GRPCRoutes {
		out = append(out, ofGRPC(r))
	}
	return out
}

func ofGRPC(r *gatewayv1.GRPCRoute) *anyRoute {
	out := &anyRoute{HTTPRoute: &gatewayv1.HTTPRoute{ObjectMeta: r.ObjectMeta}, kind: kindGRPC, grpc: r.Spec.Rules}
	out.Spec.CommonRouteSpec, out.Spec.Hostnames = r.Spec.CommonRouteSpec, r.Spec.Hostnames
	if len(out.grpc) == 0 {
		out.grpc = []gatewayv1.GRPCRouteRule{{}} // the CRD's default
	}
	for i := range out.grpc {
		in := &out.grpc[i]
		rule := gatewayv1.HTTPRouteRule{Name: in.Name, Filters: filtersOfGRPC(in.Filters), SessionPersistence: in.SessionPersistence}
		for j := range in.BackendRefs {
			ref := &in.BackendRefs[j]
			rule.BackendRefs = append(rule.BackendRefs, gatewayv1.HTTPBackendRef{BackendRef: ref.BackendRef, Filters: filtersOfGRPC(ref.Filters)})
		}
		out.Spec.Rules = append(out.Spec.Rules, rule)
	}
	return out
}

func filtersOfGRPC(in []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	var out []gatewayv1.HTTPRouteFilter
	for i := range in {
		f := &in[i]
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type: gatewayv1.HTTPRouteFilterType(f.Type), RequestHeaderModifier: f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier, RequestMirror: f.RequestMirror, ExtensionRef: f.ExtensionRef,
		})
	}
	return out
}

// isFilterOfGRPC: a GRPCRoute may have filters of the type.
func isFilterOfGRPC(t gatewayv1.HTTPRouteFilterType) bool {
	switch t {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier, gatewayv1.HTTPRouteFilterResponseHeaderModifier, gatewayv1.HTTPRouteFilterRequestMirror:
		return true
	}
	return false
}

func newGRPCEntry(in *gatewayv1.GRPCRouteMatch) (*entry, string) {
	e := &entry{kind: root, grpc: true}
	if in.Method != nil {
		if wrong := e.setCall(in.Method); wrong != "" {
			return nil, "method." + wrong
		}
	}
	headers := make([]gatewayv1.HTTPHeaderMatch, 0, len(in.Headers))
	for _, h := range in.Headers {
		kind := (*gatewayv1.HeaderMatchType)(h.Type)
		headers = append(headers, gatewayv1.HTTPHeaderMatch{Type: kind, Name: gatewayv1.HTTPHeaderName(h.Name), Value: h.Value})
	}
	wrong := e.setHeaders(headers)
	return e, wrong
}

// setCall has the entry match calls of a service, a method, or a method of any service. Their path is /SERVICE/METHOD. Those that name the
// service come first, as a prefix does before a regular expression.
func (e *entry) setCall(in *gatewayv1.GRPCMethodMatch) string {
	service, method, kind := textOf(in.Service), textOf(in.Method), gatewayv1.GRPCMethodMatchExact
	if in.Type != nil {
		kind = *in.Type
	}
	switch {
	case service == "" && method == "":
		return "service: required, or method"
	case len(service) > maxPathValue || len(method) > maxPathValue:
		return fmt.Sprintf("service and method: may have %d bytes each", maxPathValue)
	case kind == gatewayv1.GRPCMethodMatchRegularExpression:
		return e.setCallPattern(service, method)
	case kind != gatewayv1.GRPCMethodMatchExact:
		return "type: use Exact or RegularExpression"
	}
	return e.setCallName(service, method)
}

func textOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// setCallName has the entry match exactly; empty: any.
func (e *entry) setCallName(service, method string) string {
	switch {
	case service != "" && !isProtoName(service, "."):
		return "service: must be a name like foo.v1.Bar"
	case method != "" && !isProtoName(method, ""):
		return "method: must be a name like Get"
	case service == "":
		return e.setCallPattern("", regexp.QuoteMeta(method))
	case method == "":
		e.kind, e.path = prefix, "/"+service
	default:
		e.kind, e.path = exact, "/"+service+"/"+method
	}
	return ""
}

// setCallPattern has the entry match by regular expressions; empty: any.
func (e *entry) setCallPattern(service, method string) (wrong string) {
	for _, part := range []*string{&service, &method} {
		if *part == "" {
			*part = "[^/]+"
		} else if _, wrong := newPattern(*part); wrong != "" { // alone: it must not close the group
			return wrong
		}
	}
	e.kind = regular
	e.regex, wrong = newPattern("/(?:" + service + ")/(?:" + method + ")")
	return wrong
}

// isProtoName: s has letters, digits, underscores and these other characters alone.
func isProtoName(s, more string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"+more) == ""
}
