package route

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// compiledRoute is a route, whatever it is attached to.
type compiledRoute struct {
	entries []*entry
	guards  []*entry // those of entries that let nothing pass
	uses    map[limited]bool

	invalid    problems // all of it: Accepted is false
	dropped    problems // some rules: PartiallyInvalid
	unresolved problems // ResolvedRefs is false
	unused     problems // fields that have no effect
}

func (c *compiler) compileRoute(route *anyRoute) *compiledRoute {
	out := &compiledRoute{uses: make(map[limited]bool)}
	const unsupported = string(gatewayv1.RouteReasonUnsupportedValue)
	if n := len(route.Spec.Hostnames); n > maxHostnames {
		out.invalid.add(unsupported, "spec.hostnames: may have %d, has %d", maxHostnames, n)
	}
	for i, h := range route.Spec.Hostnames[:min(len(route.Spec.Hostnames), maxHostnames)] {
		if wrong := checkHostname(string(h)); wrong != "" {
			out.invalid.add(unsupported, "spec.hostnames[%d]: %s", i, wrong)
		}
	}
	rules := route.Spec.Rules
	if len(rules) == 0 {
		rules = []gatewayv1.HTTPRouteRule{{}} // the CRD's default
	}
	matches := 0
	for i := range rules {
		matches += len(rules[i].Matches)
	}
	for i := range route.grpc {
		matches += len(route.grpc[i].Matches)
	}
	if len(rules) > maxRules || matches > maxMatches {
		out.invalid.add(unsupported, "spec.rules: may have %d with %d matches, has %d with %d: use several routes",
			maxRules, maxMatches, len(rules), matches)
		return out
	}
	bad := 0
	for i := range rules {
		if c.compileRule(route, i, &rules[i], out) {
			bad++
		}
	}
	if bad == len(rules) {
		for _, text := range out.dropped.list {
			out.invalid.add(out.dropped.reason, "%s", text)
		}
	}
	return out
}

// compileRule adds a rule to the route; it is true if that is not valid.
func (c *compiler) compileRule(route *anyRoute, i int, in *gatewayv1.HTTPRouteRule, out *compiledRoute) (bad bool) {
	name := nameOf(route)
	b := &ruleBuilder{
		compiler: c, kind: route.kind, namespace: route.Namespace, in: in, out: out, at: fmt.Sprintf("spec.rules[%d]", i),
		rule: &rule{
			id: &RuleID{Kind: string(route.kind), Route: name, Index: i}, created: route.CreationTimestamp.Time,
			limits: c.limits[limited{kind: string(route.kind), name: name}],
		},
	}
	if in.Name != nil {
		b.rule.id.Name = string(*in.Name)
	}
	var entries []*entry
	if route.kind == kindGRPC {
		entries = matchesOf(b, route.grpc[i].Matches, newGRPCEntry)
	} else {
		entries = matchesOf(b, in.Matches, newEntry)
	}
	b.filters()
	b.targets()
	b.timeouts()
	if in.Retry != nil {
		out.unused.add("Unused", "%s.retry: not used: set retries in a TrafficPolicy of the backend", b.at)
	}
	if in.SessionPersistence != nil {
		out.unused.add("Unused", "%s.sessionPersistence: not used: set loadBalancer.consistentHash in a TrafficPolicy of the backend", b.at)
	}
	for _, text := range b.bad.list {
		out.dropped.add(b.bad.reason, "%s", text)
	}
	switch {
	case b.rule.refusal != "":
		out.guards = append(out.guards, entries...)
		out.entries = append(out.entries, entries...)
	case !b.bad.some():
		out.entries = append(out.entries, entries...)
	}
	return b.bad.some()
}

// ruleBuilder makes a rule.
type ruleBuilder struct {
	*compiler
	kind      gatewayv1.Kind // of the route
	namespace string
	in        *gatewayv1.HTTPRouteRule
	out       *compiledRoute
	at        string // the field
	rule      *rule
	bad       problems
}

func (b *ruleBuilder) unsupported(format string, args ...any) {
	b.bad.add(string(gatewayv1.RouteReasonUnsupportedValue), "%s.%s", b.at, fmt.Sprintf(format, args...))
}

// matchesOf are the matches of a rule that are valid, as entries; the others are reported. A rule without any has one, of all.
func matchesOf[M any](b *ruleBuilder, in []M, entryOf func(*M) (*entry, string)) []*entry {
	if len(in) == 0 {
		in = []M{*new(M)}
	}
	var out []*entry
	for i := range in {
		e, wrong := entryOf(&in[i])
		if wrong != "" {
			b.unsupported("matches[%d].%s", i, wrong)
			continue
		}
		e.rule, e.index = b.rule, i
		out = append(out, e)
	}
	return out
}

func newEntry(in *gatewayv1.HTTPRouteMatch) (*entry, string) {
	e := &entry{kind: root}
	if in.Method != nil {
		if e.method = string(*in.Method); !isToken(e.method) {
			return nil, "method: must be a method of HTTP"
		}
	}
	if in.Path != nil {
		if wrong := e.setPath(in.Path); wrong != "" {
			return nil, "path: " + wrong
		}
	}
	if len(in.QueryParams) > maxConditions {
		return nil, fmt.Sprintf("queryParams: may have %d", maxConditions)
	}
	if wrong := e.setHeaders(in.Headers); wrong != "" {
		return nil, wrong
	}
	wrong := e.setQueries(in.QueryParams)
	return e, wrong
}

func (e *entry) setHeaders(in []gatewayv1.HTTPHeaderMatch) string {
	if len(in) > maxConditions {
		return fmt.Sprintf("headers: may have %d", maxConditions)
	}
	seen := make(map[string]bool)
	for i := range in {
		h := &in[i]
		regular := h.Type != nil && *h.Type == gatewayv1.HeaderMatchRegularExpression
		if h.Type != nil && !regular && *h.Type != gatewayv1.HeaderMatchExact {
			return fmt.Sprintf("headers[%d].type: use Exact or RegularExpression", i)
		}
		cond, wrong := newCond(string(h.Name), h.Value, regular)
		if wrong != "" {
			return fmt.Sprintf("headers[%d]: %s", i, wrong)
		}
		cond.name = http.CanonicalHeaderKey(cond.name)
		if !seen[cond.name] { // the first one of a name counts
			e.headers = append(e.headers, cond)
		}
		seen[cond.name] = true
	}
	return ""
}

func (e *entry) setQueries(in []gatewayv1.HTTPQueryParamMatch) string {
	seen := make(map[string]bool)
	for i := range in {
		p := &in[i]
		regular := p.Type != nil && *p.Type == gatewayv1.QueryParamMatchRegularExpression
		if p.Type != nil && !regular && *p.Type != gatewayv1.QueryParamMatchExact {
			return fmt.Sprintf("queryParams[%d].type: use Exact or RegularExpression", i)
		}
		cond, wrong := newCond(string(p.Name), p.Value, regular)
		if wrong != "" {
			return fmt.Sprintf("queryParams[%d]: %s", i, wrong)
		}
		if !seen[cond.name] {
			e.queries = append(e.queries, cond)
		}
		seen[cond.name] = true
	}
	return ""
}

func newCond(name, value string, regular bool) (condition, string) {
	c := condition{name: name, value: value}
	switch {
	case !isToken(name):
		return c, "name: must be a name of a header or query parameter"
	case value == "" || len(value) > maxHeaderValue:
		return c, fmt.Sprintf("value: must have 1 to %d bytes", maxHeaderValue)
	case !regular:
		return c, ""
	}
	var wrong string
	c.regex, wrong = newPattern(value)
	return c, wrong
}

func (e *entry) setPath(in *gatewayv1.HTTPPathMatch) string {
	kind, value := gatewayv1.PathMatchPathPrefix, "/"
	if in.Type != nil {
		kind = *in.Type
	}
	if in.Value != nil {
		value = *in.Value
	}
	switch kind {
	case gatewayv1.PathMatchExact:
		e.kind, e.path = exact, normalEscapes(value)
		return checkPath(value, true)
	case gatewayv1.PathMatchPathPrefix:
		if e.path = strings.TrimSuffix(normalEscapes(value), "/"); e.path != "" {
			e.kind = prefix
		}
		return checkPath(value, true)
	case gatewayv1.PathMatchRegularExpression:
		var wrong string
		e.kind = regular
		e.regex, wrong = newPattern(value)
		return wrong
	}
	return "type: use Exact, PathPrefix or RegularExpression"
}

// targets are the rule's backends.
func (b *ruleBuilder) targets() {
	if n := len(b.in.BackendRefs); n > maxBackends {
		b.unsupported("backendRefs: may have %d, has %d", maxBackends, n)
		return
	}
	for i := range b.in.BackendRefs {
		ref := &b.in.BackendRefs[i]
		weight := int32(1)
		if ref.Weight != nil {
			weight = *ref.Weight
		}
		if weight < 0 || weight > maxWeight {
			b.unsupported("backendRefs[%d].weight: must be between 0 and %d", i, maxWeight)
			continue
		}
		at := fmt.Sprintf("%s.backendRefs[%d]", b.at, i)
		t := target{weight: uint64(weight), request: b.rule.request, response: b.rule.response}
		var why problem
		t.backend, t.grpc, why = b.backend(&ref.BackendObjectReference)
		if why.text != "" {
			t.refusal = fmt.Sprintf("%s: %s", at, why.text)
			b.out.unresolved.add(string(why.reason), "%s", t.refusal)
		}
		b.backendFilters(i, ref.Filters, &t)
		b.rule.targets = append(b.rule.targets, t)
		b.rule.total += t.weight
	}
}

func (b *ruleBuilder) timeouts() {
	t := b.in.Timeouts
	if t == nil {
		return
	}
	read := func(field string, in *gatewayv1.Duration, out *time.Duration) {
		if in == nil {
			return
		}
		d, err := parseDuration(string(*in))
		if err != nil || d > maxTimeout {
			b.unsupported("timeouts.%s: must be like 500ms, 10s or 1h30m, at most 24h", field)
			return
		}
		*out = d
	}
	read("request", t.Request, &b.rule.timeouts.Request)
	read("backendRequest", t.BackendRequest, &b.rule.timeouts.BackendRequest)
	if whole, one := b.rule.timeouts.Request, b.rule.timeouts.BackendRequest; whole > 0 && one > whole {
		b.unsupported("timeouts.backendRequest: must not be longer than request")
	}
}

// parseDuration reads durations as GEP-2257 has them.
func parseDuration(s string) (time.Duration, error) {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && strings.IndexByte("hms", c) < 0 {
			return 0, fmt.Errorf("unexpected %q", c)
		}
	}
	return time.ParseDuration(s)
}

func isToken(s string) bool { return len(s) <= 256 && httpguts.ValidHeaderFieldName(s) }

// problem is why a reference cannot be used.
type problem struct {
	reason gatewayv1.RouteConditionReason
	text   string
}

func nameIn(namespace string, other *gatewayv1.Namespace, name gatewayv1.ObjectName) types.NamespacedName {
	if other != nil {
		namespace = string(*other)
	}
	return types.NamespacedName{Namespace: namespace, Name: string(name)}
}
