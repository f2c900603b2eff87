package file

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/istio"
)

// istio adds the services that come of Istio's ServiceEntries, and returns the policies that come of its DestinationRules and VirtualServices: each
// has the place of the object that it comes from.
func (a *assembly) istio(objects, refused []*object) (policies []*object) {
	var foreign []metav1.Object
	from := map[metav1.Object]*object{}
	for _, o := range objects {
		switch o.value.(type) {
		case *istio.DestinationRule, *istio.ServiceEntry, *istio.VirtualService:
			foreign = append(foreign, o.value)
			from[o.value] = o
		}
	}
	var rules []*istio.DestinationRule
	each(refused, func(_ *object, r *istio.DestinationRule) { rules = append(rules, r) })
	got := istio.Convert(foreign, rules...)
	for i := range got.Found {
		f := &got.Found[i]
		a.report(from[f.Of].finding(&f.Finding))
	}
	for _, e := range got.Externals {
		a.external(from[e.Of], e.ExternalService)
	}
	for _, p := range got.Policies {
		o := *from[p.Of]
		o.value, o.field = p.TrafficPolicy, p.Field
		policies = append(policies, &o)
	}
	return policies
}

// finding makes a FileError of what is found in one of Istio's objects.
func (o *object) finding(f *istio.Finding) FileError {
	if f.Effect == istio.Refused {
		return o.fault(f.Field, "%s", f.Message)
	}
	return o.warning(f.Field, "%s: %s", f.Effect, f.Message)
}
