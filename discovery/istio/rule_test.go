package istio

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Istio's defaults are filled in where Eastway's differ, and TCP ports count what would count in Istio.
func TestOutlierDetection(t *testing.T) {
	t.Parallel()
	n := func(v uint32) *uint32 { return &v }
	for name, c := range map[string]struct {
		given v1alpha1.OutlierDetection
		split bool
		local uint32
	}{
		"nothing": {v1alpha1.OutlierDetection{}, false, 5},
		"errors":  {v1alpha1.OutlierDetection{Consecutive5xxErrors: n(1)}, false, 1},
		"gateway errors come first": {
			v1alpha1.OutlierDetection{Consecutive5xxErrors: n(7), ConsecutiveGatewayErrors: n(3)}, false, 3,
		},
		"errors come first":    {v1alpha1.OutlierDetection{Consecutive5xxErrors: n(2), ConsecutiveGatewayErrors: n(3)}, false, 2},
		"only gateway errors":  {v1alpha1.OutlierDetection{Consecutive5xxErrors: n(0), ConsecutiveGatewayErrors: n(9)}, false, 9},
		"none":                 {v1alpha1.OutlierDetection{Consecutive5xxErrors: n(0)}, false, 0},
		"the deprecated field": {v1alpha1.OutlierDetection{ConsecutiveErrors: n(4)}, false, 4},
		"both":                 {v1alpha1.OutlierDetection{ConsecutiveErrors: n(4), Consecutive5xxErrors: n(3)}, false, 3},
		"split":                {v1alpha1.OutlierDetection{SplitExternalLocalOriginErrors: new(true), Consecutive5xxErrors: n(1)}, true, 5},
		"split, and a number": {
			v1alpha1.OutlierDetection{SplitExternalLocalOriginErrors: new(true), ConsecutiveLocalOriginFailures: n(0)}, true, 0,
		},
		"a number without split": {v1alpha1.OutlierDetection{ConsecutiveLocalOriginFailures: n(1)}, false, 5},
	} {
		var f findings
		got := outliers(&f, "spec", &c.given)
		if *got.SplitExternalLocalOriginErrors != c.split || *got.ConsecutiveLocalOriginFailures != c.local {
			t.Errorf("%s: %v %d", name, *got.SplitExternalLocalOriginErrors, *got.ConsecutiveLocalOriginFailures)
		}
		if len(f) != 1 || f[0].Field != "spec.outlierDetection.maxEjectionPercent" || f[0].Effect != Changed {
			t.Errorf("%s: %v", name, f)
		}
	}
	var f findings
	bounded := v1alpha1.OutlierDetection{MaxEjectionPercent: new(int32(10))}
	if outliers(&f, "spec", nil) != nil || outliers(&f, "spec", &bounded) == nil || len(f) > 0 {
		t.Errorf("%v", f)
	}
}

// A host is what Istio takes it for.
func TestResolve(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]host{
		"reviews":                           {namespace: "shop", name: "reviews"},
		"reviews.prod.svc.cluster.local":    {namespace: "prod", name: "reviews"},
		"Reviews.prod.svc.cluster.local.":   {namespace: "prod", name: "reviews"},
		"reviews.prod.svc.clusterset.local": {namespace: "prod", name: "reviews", imported: true},
		"reviews.prod.svc.other.domain":     {namespace: "prod", name: "reviews"},
		"reviews.prod":                      {outside: "reviews.prod"},
		"*.prod.svc.cluster.local":          {namespace: "prod"},
		"*.local":                           {},
		"*":                                 {},
		"*.svc.cluster.local":               {},
		"mydb.com":                          {outside: "mydb.com"},
		"*.example.com":                     {outside: "*.example.com"},
		"api.svc.example.com":               {outside: "api.svc.example.com"},
	} {
		if got := resolve(name, "shop"); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if h := resolve("*.example.com", ""); !h.covers("a.example.com") || h.covers("example.com") || h.covers("a.example.org") {
		t.Error("a wildcard covers the wrong names")
	}
}

// Names become those that a Service could have.
func TestLabel(t *testing.T) {
	t.Parallel()
	long := "a.b-" + string(make([]byte, 70))
	for name, want := range map[string]string{"a": "a", "A.b_C": "a-b-c", "-x-": "x", long: "a-b", "": ""} {
		if got := label(name); got != want {
			t.Errorf("label(%q) = %q, want %q", name, got, want)
		}
	}
}

func ruleFor(namespace, name, host string, connections int32) *DestinationRule {
	r := &DestinationRule{Spec: RuleSpec{Host: host, TrafficPolicy: &TrafficPolicy{
		ConnectionPool: &v1alpha1.ConnectionPool{TCP: &v1alpha1.TCPSettings{MaxConnections: &connections}},
	}}}
	r.Namespace, r.Name = namespace, name
	return r
}

// Of several rules for a service one is used: the one of its namespace, then that of all, then the oldest.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	const to = "reviews.prod.svc.cluster.local"
	own, root := ruleFor("prod", "own", "reviews", 1), ruleFor(rootNamespace, "root", to, 2)
	other, older := ruleFor("shop", "other", to, 3), ruleFor("test", "older", to, 4)
	other.CreationTimestamp = metav1.NewTime(time.Unix(2, 0))
	older.CreationTimestamp = metav1.NewTime(time.Unix(1, 0))
	for _, c := range []struct {
		objects []metav1.Object
		want    string
	}{
		{[]metav1.Object{other, root, own}, "own"},
		{[]metav1.Object{own, root, other}, "own"},
		{[]metav1.Object{other, root}, "root"},
		{[]metav1.Object{other, older}, "older"},
	} {
		got := Convert(c.objects)
		if len(got.Policies) != 1 || got.Policies[0].Name != c.want || got.Policies[0].Namespace != "prod" {
			t.Errorf("%s: %+v", c.want, got.Policies)
		}
		refused := 0
		for _, f := range got.Found {
			if f.Effect == Refused && f.Field == "spec.host" {
				refused++
			}
		}
		if refused != len(c.objects)-1 {
			t.Errorf("%s: %+v", c.want, got.Found)
		}
	}
}

// A VirtualService takes the settings of the rule that would hold without it, as a service has one policy.
func TestRouteKeepsTheWiderRule(t *testing.T) {
	t.Parallel()
	v := &VirtualService{Spec: RouteSpec{Hosts: []string{"reviews", "reviews.prod.svc.cluster.local"}, HTTP: []HTTPRoute{{
		Route: []Share{{Destination: Destination{Host: "reviews"}}}, Timeout: &metav1.Duration{Duration: time.Second},
	}}}}
	v.Namespace, v.Name = "prod", "slow"
	cluster, namespace := ruleFor(rootNamespace, "all", "*.local", 1), ruleFor("prod", "prod", "*.prod.svc.cluster.local", 2)
	for _, c := range []struct {
		objects []metav1.Object
		want    int32
	}{{[]metav1.Object{v, cluster}, 1}, {[]metav1.Object{v, cluster, namespace}, 2}} {
		got := Convert(c.objects)
		for _, p := range got.Policies {
			if p.Name != "slow" {
				continue
			}
			if p.Spec.Timeout == nil || *p.Spec.ConnectionPool.TCP.MaxConnections != c.want || p.Of != metav1.Object(v) {
				t.Errorf("%+v", p.Spec)
			}
		}
		if len(got.Policies) != len(c.objects) || len(got.Found) > 0 {
			t.Errorf("%+v", got)
		}
	}
}

// A match that every request meets makes a route one for all of them.
func TestMatchesAll(t *testing.T) {
	t.Parallel()
	uri := func(kind, text string) map[string]any { return map[string]any{"uri": map[string]any{kind: text}} }
	for name, c := range map[string]struct {
		match []any
		want  bool
	}{
		"none":       {nil, true},
		"all":        {[]any{uri("prefix", "/")}, true},
		"an empty":   {[]any{map[string]any{}}, true},
		"one of two": {[]any{uri("exact", "/a"), uri("prefix", "/")}, true},
		"a path":     {[]any{uri("exact", "/")}, false},
		"a prefix":   {[]any{uri("prefix", "/a")}, false},
		"a header":   {[]any{map[string]any{"uri": map[string]any{"prefix": "/"}, "headers": map[string]any{}}}, false},
	} {
		if got := matchesAll(c.match); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
