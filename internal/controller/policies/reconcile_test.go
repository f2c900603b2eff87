package policies_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func policy(name, target string, age int64) *v1alpha1.TrafficPolicy {
	return &v1alpha1.TrafficPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Generation: 3, CreationTimestamp: metav1.Unix(1_700_000_000+age, 0)},
		Spec:       v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TargetRef{Kind: "Service", Name: target}},
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	invalid := policy("invalid", "shop", 0)
	invalid.Spec.OutlierDetection = &v1alpha1.OutlierDetection{Interval: &metav1.Duration{Duration: time.Millisecond}}
	nowhere := policy("default", "", 1)
	nowhere.Spec.TargetRef = v1alpha1.TargetRef{}
	second := policy("second-default", "", 2)
	second.Spec.TargetRef = v1alpha1.TargetRef{}
	byImport, noImport := policy("by-import", "far", 2), policy("no-import", "alone", 1)
	for _, p := range []*v1alpha1.TrafficPolicy{byImport, noImport} {
		p.Spec.TargetRef.Kind, p.Spec.TargetRef.Group = v1alpha1.KindImport, v1alpha1.GroupImport
	}
	outside := func(name, target string, age int64) *v1alpha1.TrafficPolicy {
		p := policy(name, target, age)
		p.Spec.TargetRef.Group, p.Spec.TargetRef.Kind = v1alpha1.GroupOwn, v1alpha1.KindExternal
		return p
	}
	ofRoute := policy("of-route", "shop", 0) // no rival of the Service's
	ofRoute.Spec.TargetRef.Group, ofRoute.Spec.TargetRef.Kind = v1alpha1.GroupGateway, v1alpha1.KindRoute
	ofRoute.Spec.RateLimit = &v1alpha1.RateLimit{Rules: []v1alpha1.RateLimitRule{{Quota: 1, FillInterval: metav1.Duration{Duration: time.Second}}}}
	there := metav1.ObjectMeta{Namespace: "default", Name: "shop"}
	imported := metav1.ObjectMeta{Namespace: "default", Name: "far"}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcsv1beta1.Install, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.TrafficPolicy{}).WithObjects(
		ofRoute, invalid, policy("old", "shop", 1), policy("young", "shop", 2), policy("same-age", "shop", 1),
		policy("far", "far", 1), policy("nobody", "nobody", 1),
		nowhere, second, byImport, noImport, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "alone"}},
		policy("not-outside", "db", 1), outside("db", "db", 2), outside("not-shop", "shop", 0), outside("none", "none", 1),
		&v1alpha1.ExternalService{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"}},
		&mcsv1beta1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"}},
		&corev1.Service{ObjectMeta: there}, &mcsv1beta1.ServiceImport{ObjectMeta: imported},
	).Build()
	writer, err := apply.NewWriter(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &policies.Reconciler{Client: c, Writer: writer}
	judge := func() {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "default"}}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(name, want string) {
		t.Helper()
		p := &v1alpha1.TrafficPolicy{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, p); err != nil {
			t.Fatal(err)
		}
		if len(p.Status.Conditions) != 1 || p.Status.ObservedGeneration != 3 {
			t.Fatalf("%s: %+v", name, p.Status)
		}
		if got := p.Status.Conditions[0]; got.Type != "Accepted" || string(got.Status)+"/"+got.Reason != want || got.Message == "" {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	judge()
	for name, want := range map[string]string{
		"of-route": "True/Accepted", "invalid": "False/Invalid", "old": "True/Accepted", "young": "False/Conflicted", "same-age": "False/Conflicted",
		"far": "True/Accepted", "nobody": "False/TargetNotFound",
		"not-outside": "False/TargetNotFound", "db": "True/Accepted", "not-shop": "False/TargetNotFound", "none": "False/TargetNotFound",
		"default": "True/Accepted", "second-default": "False/Conflicted", "by-import": "False/Conflicted", "no-import": "False/TargetNotFound",
	} {
		expect(name, want)
	}
	for _, name := range []string{"old", "same-age", "default", "far"} {
		if err := c.Delete(t.Context(), &v1alpha1.TrafficPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	judge()
	for _, name := range []string{"young", "second-default", "by-import"} {
		expect(name, "True/Accepted")
	}
}
