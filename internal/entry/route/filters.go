package route

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// filters of the rule.
func (b *ruleBuilder) filters() {
	const incompatible = string(gatewayv1.RouteReasonIncompatibleFilters)
	if n := len(b.in.Filters); n > maxFilters {
		b.unsupported("filters: may have %d, has %d", maxFilters, n)
		b.rule.refusal = "the rule has too many filters"
		return
	}
	seen := make(map[gatewayv1.HTTPRouteFilterType]bool)
	for i := range b.in.Filters {
		f := &b.in.Filters[i]
		if seen[f.Type] && f.Type != gatewayv1.HTTPRouteFilterRequestMirror {
			b.bad.add(incompatible, "%s.filters[%d]: a filter of type %s may be there once", b.at, i, f.Type)
		}
		seen[f.Type] = true
		add := b.filter
		if b.kind == kindGRPC && !isFilterOfGRPC(f.Type) {
			add = b.unknownFilter
		}
		if wrong := add(i, f); wrong != "" {
			b.unsupported("filters[%d].%s", i, wrong)
		}
	}
	if !seen[gatewayv1.HTTPRouteFilterRequestRedirect] {
		return
	}
	if seen[gatewayv1.HTTPRouteFilterURLRewrite] {
		b.bad.add(incompatible, "%s.filters: URLRewrite and RequestRedirect exclude each other: a redirect has a path of its own", b.at)
	}
	if len(b.in.BackendRefs) > 0 {
		b.bad.add(incompatible, "%s.backendRefs: a rule with RequestRedirect has none: no request reaches them", b.at)
	}
}

// filter adds one filter to the rule, or says what is wrong with it.
func (b *ruleBuilder) filter(i int, f *gatewayv1.HTTPRouteFilter) (wrong string) {
	missing := func(field string) string { return field + ": required for this type" }
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
		b.rule.request, wrong = headerEdits(f.RequestHeaderModifier, true)
		return prefixed("requestHeaderModifier.", wrong)
	case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
		b.rule.response, wrong = headerEdits(f.ResponseHeaderModifier, false)
		return prefixed("responseHeaderModifier.", wrong)
	case gatewayv1.HTTPRouteFilterRequestRedirect:
		if f.RequestRedirect == nil {
			return missing("requestRedirect")
		}
		return prefixed("requestRedirect.", b.redirect(f.RequestRedirect))
	case gatewayv1.HTTPRouteFilterURLRewrite:
		if f.URLRewrite == nil {
			return missing("urlRewrite")
		}
		if h := f.URLRewrite.Hostname; h != nil {
			if b.rule.host = string(*h); strings.HasPrefix(b.rule.host, "*") || checkHostname(b.rule.host) != "" {
				return "urlRewrite.hostname: must be a DNS name"
			}
		}
		b.rule.path, wrong = b.pathEdit(f.URLRewrite.Path)
		return prefixed("urlRewrite.path.", wrong)
	case gatewayv1.HTTPRouteFilterRequestMirror:
		if f.RequestMirror == nil {
			return missing("requestMirror")
		}
		return prefixed("requestMirror.", b.mirror(i, f.RequestMirror))
	case gatewayv1.HTTPRouteFilterCORS:
		if f.CORS == nil {
			return missing("cors")
		}
		b.rule.cors, wrong = newCORS(f.CORS)
		return prefixed("cors.", wrong)
	}
	return b.unknownFilter(i, f)
}

// unknownFilter lets no request pass: the filter may be there to protect the backend.
func (b *ruleBuilder) unknownFilter(i int, f *gatewayv1.HTTPRouteFilter) string {
	b.rule.refusal = fmt.Sprintf("%s.filters[%d]: filters of type %s are not supported, and must not be skipped: remove it", b.at, i, f.Type)
	return fmt.Sprintf("type: %s is not supported: requests get status 500 until it is removed", f.Type)
}

func prefixed(prefix, wrong string) string {
	if wrong == "" {
		return ""
	}
	return prefix + wrong
}

// backendFilters are those of one backend.
func (b *ruleBuilder) backendFilters(i int, filters []gatewayv1.HTTPRouteFilter, t *target) {
	for j := range filters {
		f := &filters[j]
		var wrong string
		switch f.Type {
		case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
			var edits []Edit
			edits, wrong = headerEdits(f.RequestHeaderModifier, true)
			t.request = slices.Concat(t.request, edits)
		case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
			var edits []Edit
			edits, wrong = headerEdits(f.ResponseHeaderModifier, false)
			t.response = slices.Concat(edits, t.response)
		default:
			wrong = fmt.Sprintf("type: %s is not supported here: use it in the rule's filters", f.Type)
			b.rule.refusal = fmt.Sprintf("%s.backendRefs[%d].filters[%d].%s", b.at, i, j, wrong)
		}
		if wrong != "" {
			b.unsupported("backendRefs[%d].filters[%d].%s", i, j, wrong)
		}
	}
}

// headerEdits of a filter: first what is removed, then what is set, then what is added. The first entry of a name counts.
func headerEdits(in *gatewayv1.HTTPHeaderFilter, request bool) ([]Edit, string) {
	if in == nil {
		return nil, "set, add or remove: required"
	}
	if max(len(in.Set), len(in.Add), len(in.Remove)) > maxConditions {
		return nil, fmt.Sprintf("set, add, remove: may have %d each", maxConditions)
	}
	var all []Edit
	for _, name := range in.Remove {
		all = append(all, Edit{Op: Remove, Name: http.CanonicalHeaderKey(name)})
	}
	for _, h := range in.Set {
		all = append(all, Edit{Op: Set, Name: http.CanonicalHeaderKey(string(h.Name)), Value: h.Value})
	}
	for _, h := range in.Add {
		all = append(all, Edit{Op: Add, Name: http.CanonicalHeaderKey(string(h.Name)), Value: h.Value})
	}
	var out []Edit
	for _, e := range all {
		if wrong := e.check(request); wrong != "" {
			return nil, "set, add, remove: " + wrong
		}
		if !slices.ContainsFunc(out, func(other Edit) bool { return other.Op == e.Op && other.Name == e.Name }) {
			out = append(out, e)
		}
	}
	return out, ""
}

// check says what is wrong with an edit of a manifest.
func (e *Edit) check(request bool) string {
	switch {
	case !isToken(e.Name) || len(e.Value) > maxHeaderValue || !httpguts.ValidHeaderFieldValue(e.Value):
		return "must have names and values of headers"
	case isFraming(e.Name):
		return e.Name + " must not be changed: it says where a message ends"
	case request && e.Name == "Host":
		return "Host must not be changed here: use a filter of type URLRewrite"
	}
	return ""
}

// isFraming: headers with which each hop frames messages of its own.
func isFraming(name string) bool {
	switch name {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

func (b *ruleBuilder) redirect(in *gatewayv1.HTTPRequestRedirectFilter) (wrong string) {
	r := &redirect{status: http.StatusFound}
	if in.Scheme != nil {
		if r.scheme = *in.Scheme; r.scheme != "http" && r.scheme != "https" {
			return "scheme: must be http or https"
		}
	}
	if in.Hostname != nil {
		if r.host = string(*in.Hostname); strings.HasPrefix(r.host, "*") || checkHostname(r.host) != "" {
			return "hostname: must be a DNS name"
		}
	}
	if in.Port != nil {
		if *in.Port < 1 || *in.Port > 65535 {
			return "port: must be between 1 and 65535"
		}
		r.port = uint16(*in.Port)
	}
	if in.StatusCode != nil {
		switch r.status = *in.StatusCode; r.status {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return "statusCode: must be 301, 302, 303, 307 or 308"
		}
	}
	r.path, wrong = b.pathEdit(in.Path)
	b.rule.redirect = r
	return prefixed("path.", wrong)
}

func (b *ruleBuilder) pathEdit(in *gatewayv1.HTTPPathModifier) (pathEdit, string) {
	if in == nil {
		return pathEdit{}, ""
	}
	switch in.Type {
	case gatewayv1.FullPathHTTPPathModifier:
		edit := pathEdit{kind: fullPath, value: textOf(in.ReplaceFullPath)}
		if edit.value == "" {
			edit.value = "/"
		}
		return edit, prefixed("replaceFullPath: ", checkPath(edit.value, false))
	case gatewayv1.PrefixMatchHTTPPathModifier:
		edit := pathEdit{kind: prefixMatch, value: textOf(in.ReplacePrefixMatch)}
		if !b.onePrefix() {
			return edit, "replacePrefixMatch: the rule must have exactly one match, with a path of type PathPrefix"
		}
		if edit.value == "" {
			return edit, ""
		}
		return edit, prefixed("replacePrefixMatch: ", checkPath(edit.value, false))
	}
	return pathEdit{}, "type: must be ReplaceFullPath or ReplacePrefixMatch"
}

// onePrefix: the rule matches the path by one prefix.
func (b *ruleBuilder) onePrefix() bool {
	m := b.in.Matches
	if len(m) == 0 {
		return true // the CRD's default is the prefix /
	}
	return len(m) == 1 && (m[0].Path == nil || m[0].Path.Type == nil || *m[0].Path.Type == gatewayv1.PathMatchPathPrefix)
}

func (b *ruleBuilder) mirror(i int, in *gatewayv1.HTTPRequestMirrorFilter) string {
	m := mirror{of: 1, outOf: 1}
	switch {
	case in.Percent != nil && in.Fraction != nil:
		return "percent: must not be there together with fraction"
	case in.Percent != nil:
		if *in.Percent < 0 || *in.Percent > 100 {
			return "percent: must be between 0 and 100"
		}
		m.of, m.outOf = uint64(*in.Percent), 100
	case in.Fraction != nil:
		denominator := int32(100)
		if in.Fraction.Denominator != nil {
			denominator = *in.Fraction.Denominator
		}
		if denominator < 1 || in.Fraction.Numerator < 0 || in.Fraction.Numerator > denominator {
			return "fraction: numerator must be between 0 and denominator, and denominator 1 or more"
		}
		m.of, m.outOf = uint64(in.Fraction.Numerator), uint64(denominator)
	}
	backend, _, why := b.backend(&in.BackendRef)
	if why.text != "" {
		b.out.unresolved.add(string(why.reason), "%s.filters[%d].requestMirror.backendRef: %s", b.at, i, why.text)
		return ""
	}
	m.backend = backend
	b.rule.mirrors = append(b.rule.mirrors, m)
	return ""
}
