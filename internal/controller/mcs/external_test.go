package mcs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const outside = `
apiVersion: eastway.dev/v1alpha1
kind: ExternalService
metadata: {name: shop, namespace: default, generation: 3}
spec:
  hosts: [mydb.com]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 5432, name: sql}]
  endpoints: [{address: db.example.com}]
`

// externalConditions are Accepted and Programmed, each STATUS/REASON.
func (w *world) externalConditions() (string, *v1alpha1.ExternalService) {
	w.t.Helper()
	e := get(w, &v1alpha1.ExternalService{}, "default", "shop")
	var out []string
	for _, kind := range []string{v1alpha1.ExternalAccepted, v1alpha1.ExternalProgrammed} {
		c := meta.FindStatusCondition(e.Status.Conditions, kind)
		if c == nil {
			out = append(out, "-")
			continue
		}
		if c.Message == "" || c.LastTransitionTime.IsZero() || c.ObservedGeneration != e.Generation {
			w.t.Errorf("condition %+v", c)
		}
		out = append(out, string(c.Status)+"/"+c.Reason)
	}
	return strings.Join(out, " "), e
}

// Callers reach an ExternalService at a Service that leads to the proxies, whose address is in its status and stays.
func TestExternalService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, outside)
	w.reconcile()
	derived := w.derived(v1alpha1.DerivedExternal)
	if len(derived) != 1 {
		t.Fatalf("derived %+v", derived)
	}
	d := derived[0]
	ports := fmt.Sprintf("%s:%d %s:%d", d.Spec.Ports[0].Name, d.Spec.Ports[0].Port, d.Spec.Ports[1].Name, d.Spec.Ports[1].Port)
	if ports != "tcp-80:80 tcp-5432:5432" || d.Spec.Selector["app.kubernetes.io/component"] != "proxy" || d.Spec.Ports[0].TargetPort.IntVal == 0 {
		t.Errorf("derived %+v", d.Spec)
	}
	conditions, e := w.externalConditions()
	if conditions != "True/Accepted True/Programmed" || e.Status.ObservedGeneration != 3 ||
		!slices.Equal(e.Status.Addresses, []string{d.Spec.ClusterIP}) || e.Status.Hostname != d.Name+".eastway-system.svc" {
		t.Errorf("%s, status %+v", conditions, e.Status)
	}
	if again := w.reconcile(); len(again) > 0 {
		t.Errorf("it writes again: %v", again)
	}
	w.nothingImported()
	edit(w, &v1alpha1.ExternalService{}, "default", "shop", func(e *v1alpha1.ExternalService) { e.Spec.Ports = e.Spec.Ports[:1] })
	w.reconcile()
	if now := w.derived(v1alpha1.DerivedExternal); len(now) != 1 || len(now[0].Spec.Ports) != 1 ||
		now[0].Spec.Ports[0].TargetPort != d.Spec.Ports[0].TargetPort || now[0].Spec.ClusterIP != d.Spec.ClusterIP {
		t.Errorf("with a port less: %+v", now)
	}
	w.remove(&v1alpha1.ExternalService{}, "default", "shop")
	w.reconcile()
	if now := w.derived(v1alpha1.DerivedExternal); len(now) > 0 {
		t.Errorf("after: %+v", now)
	}
}

// What cannot be used says why, and callers have no address for it.
func TestExternalServiceRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(outside, "number: 80", "number: 0", 1))
	w.reconcile()
	conditions, e := w.externalConditions()
	if conditions != "False/Invalid False/NotAccepted" || len(e.Status.Addresses) > 0 || e.Status.Hostname != "" {
		t.Errorf("invalid: %s, %+v", conditions, e.Status)
	}
	if c := e.Status.Conditions[0]; !strings.Contains(c.Message, "spec.ports[0].number") {
		t.Errorf("message %q", c.Message)
	}
	edit(w, &v1alpha1.ExternalService{}, "default", "shop", func(e *v1alpha1.ExternalService) {
		e.Spec.Ports[0].Number = 80
		e.Spec.TLS = &v1alpha1.ClientTLS{Mode: v1alpha1.TLSSimple, CACertificates: "/ca.crt"}
	})
	w.reconcile()
	conditions, e = w.externalConditions()
	if conditions != "False/Invalid False/NotAccepted" || !strings.Contains(e.Status.Conditions[0].Message, "on Kubernetes proxies read no files") {
		t.Errorf("with a file: %s, %q", conditions, e.Status.Conditions[0].Message)
	}
	edit(w, &v1alpha1.ExternalService{}, "default", "shop", func(e *v1alpha1.ExternalService) { e.Spec.TLS = nil })
	w.create(shop)
	w.reconcile()
	if conditions, _ := w.externalConditions(); conditions != "False/Conflicted False/NotAccepted" || len(w.derived(v1alpha1.DerivedExternal)) > 0 {
		t.Errorf("beside a Service: %s", conditions)
	}
	w.remove(&corev1.Service{}, "default", "shop")
	w.reconcile()
	if conditions, _ := w.externalConditions(); conditions != "True/Accepted True/Programmed" {
		t.Errorf("without it: %s", conditions)
	}
}

// A version that is not valid leaves callers the address of the last valid one, which proxies go on with.
func TestExternalServiceSpoiled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, outside)
	w.reconcile()
	_, before := w.externalConditions()
	edit(w, &v1alpha1.ExternalService{}, "default", "shop", func(e *v1alpha1.ExternalService) { e.Spec.Ports[0].Number = 0 })
	w.reconcile()
	conditions, e := w.externalConditions()
	if conditions != "False/Invalid True/Programmed" || !slices.Equal(e.Status.Addresses, before.Status.Addresses) {
		t.Errorf("%s, %+v, before %+v", conditions, e.Status, before.Status)
	}
	if d := w.derived(v1alpha1.DerivedExternal); len(d) != 1 || len(d[0].Spec.Ports) != 2 {
		t.Errorf("derived %+v", d)
	}
}

// What fails elsewhere takes nothing from a status that is true.
func TestExternalServiceBesideFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, outside)
	w.reconcile()
	_, before := w.externalConditions()
	w.remove(&corev1.Service{}, system, "eastway-proxies")
	if _, err := w.try(); err == nil {
		t.Error("no error")
	}
	if conditions, e := w.externalConditions(); conditions != "True/Accepted True/Programmed" ||
		!slices.Equal(e.Status.Addresses, before.Status.Addresses) || e.Status.Hostname != before.Status.Hostname {
		t.Errorf("%s, %+v", conditions, e.Status)
	}
}

// A failure that needs a repair shows in the status.
func TestExternalServiceWithoutProxies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, outside)
	w.remove(&corev1.Service{}, system, "eastway-proxies")
	if _, err := w.try(); err == nil {
		t.Error("no error")
	}
	conditions, e := w.externalConditions()
	if conditions != "True/Accepted False/Failed" || !strings.Contains(e.Status.Conditions[1].Message, "--proxies-service") {
		t.Errorf("%s, %+v", conditions, e.Status)
	}
}

// An export of one is valid: it is offered to peers, and imported here with its ports.
func TestExportOfExternalService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, outside, shopExport)
	w.reconcile()
	if got := w.exportCondition(mcsv1beta1.ServiceExportConditionValid); got != "True/Valid" {
		t.Errorf("valid %s", got)
	}
	w.expectClusters(own)
	if i := w.serviceImport(); len(i.Spec.Ports) != 2 || *i.Spec.Ports[0].AppProtocol != "http" || i.Spec.Ports[1].Port != 5432 {
		t.Errorf("import %+v", i.Spec)
	}
	if n := len(w.derived(v1alpha1.DerivedImport)) + len(w.derived(v1alpha1.DerivedExternal)); n != 2 {
		t.Errorf("%d derived", n)
	}
	w.remove(&v1alpha1.ExternalService{}, "default", "shop")
	w.reconcile()
	if got := w.exportCondition(mcsv1beta1.ServiceExportConditionValid); got != "False/NoService" {
		t.Errorf("without it: valid %s", got)
	}
	w.nothingImported()
}
