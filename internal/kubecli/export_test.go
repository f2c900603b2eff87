package kubecli

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

func service(namespace, name string) *corev1.Service {
	s := &corev1.Service{}
	s.Namespace, s.Name = namespace, name
	s.Spec.Type, s.Spec.ClusterIP = corev1.ServiceTypeClusterIP, "10.96.0.7"
	s.Spec.ClusterIPs = []string{"10.96.0.7"}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}
	return s
}

func namespace(name string) client.Object {
	n := &corev1.Namespace{}
	n.Name = name
	return n
}

func TestExport(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	outside := service("shop", "outside")
	outside.Spec.Type = corev1.ServiceTypeExternalName
	s.Add(namespace("shop"), namespace("empty"), service("shop", "cart"), outside)
	if already, err := c.Export(t.Context(), "shop", "cart"); already || err != nil {
		t.Errorf("%v, %v", already, err)
	}
	if !s.Get("multicluster.x-k8s.io/v1beta1/serviceexports", "shop", "cart", &mcsv1beta1.ServiceExport{}) {
		t.Error("not made")
	}
	if already, err := c.Export(t.Context(), "shop", "cart"); !already || err != nil {
		t.Errorf("again: %v, %v", already, err)
	}
	if _, err := c.Export(t.Context(), "shop", "outside"); err == nil || !strings.Contains(err.Error(), "of type ExternalName") {
		t.Errorf("ExternalName: %v", err)
	}
	_, err := c.Export(t.Context(), "shop", "basket")
	is(t, err, ErrNotFound, "no Service basket in namespace shop of context east; there are cart, outside")
	_, err = c.Export(t.Context(), "empty", "basket")
	is(t, err, ErrNotFound, "no Service basket in namespace empty")
	_, err = c.Export(t.Context(), "sohp", "cart")
	is(t, err, ErrNotFound, "no namespace sohp")
	if err := c.Unexport(t.Context(), "shop", "cart"); err != nil {
		t.Error(err)
	}
	is(t, c.Unexport(t.Context(), "shop", "cart"), ErrNotFound, "shop/cart is not exported by context east")
	s.Forbid("create", "serviceexports")
	_, err = c.Export(t.Context(), "shop", "cart")
	is(t, err, ErrForbidden, "export shop/cart")
}

// CRDs may come from another implementation, and serve the older version only, or not be there.
func TestExportWithOtherCRDs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	s.Add(service("shop", "cart"))
	s.Drop("multicluster.x-k8s.io/v1beta1/serviceexports")
	if _, err := c.Export(t.Context(), "shop", "cart"); err != nil {
		t.Error(err)
	}
	if !s.Get("multicluster.x-k8s.io/v1alpha1/serviceexports", "shop", "cart", &mcsv1alpha1.ServiceExport{}) {
		t.Error("not made")
	}
	s.Drop("multicluster.x-k8s.io/v1alpha1/serviceexports")
	_, err := c.Export(t.Context(), "shop", "cart")
	is(t, err, ErrNoKind, "export shop/cart")
	is(t, c.Unexport(t.Context(), "shop", "cart"), ErrNoKind, "unexport shop/cart")
}

func TestAwaitExport(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	s.Add(service("shop", "cart"))
	if _, err := c.Export(t.Context(), "shop", "cart"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := c.AwaitExport(ctx, "shop", "cart"); err != nil || len(got) != 0 {
		t.Errorf("nobody says anything: %v, %v", got, err)
	}
	say := func(conditions ...metav1.Condition) {
		e := &mcsv1beta1.ServiceExport{Status: mcsv1beta1.ServiceExportStatus{Conditions: conditions}}
		e.Namespace, e.Name = "shop", "cart"
		s.Add(e)
	}
	for _, conditions := range [][]metav1.Condition{
		{{Type: "Valid", Status: "False", Reason: "NoService"}},
		{{Type: "Valid", Status: "True"}, {Type: "Ready", Status: "True"}},
	} {
		say(conditions...)
		if got, err := c.AwaitExport(t.Context(), "shop", "cart"); err != nil || len(got) != len(conditions) {
			t.Errorf("%v, %v", got, err)
		}
	}
}
