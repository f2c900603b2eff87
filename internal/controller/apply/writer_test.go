package apply_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/internal/controller/apply"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWriter(t *testing.T, objects ...client.Object) (*apply.Writer, client.Client, *prometheus.Registry) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&mcsv1beta1.ServiceImport{}).Build()
	reg := prometheus.NewRegistry()
	w, err := apply.NewWriter(c, reg)
	if err != nil {
		t.Fatal(err)
	}
	return w, c, reg
}

func serviceImport(labels map[string]string) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop", Labels: labels},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, Ports: []mcsv1beta1.ServicePort{{Port: 80}}},
		Status:     mcsv1beta1.ServiceImportStatus{Clusters: []mcsv1beta1.ClusterStatus{{Cluster: "a"}}},
	}
}

// What others wrote stays, what was applied before and is no longer said goes, and the status is written only on its own.
func TestApply(t *testing.T) {
	t.Parallel()
	w, c, reg := newWriter(t)
	ctx := t.Context()
	if err := w.Apply(ctx, serviceImport(map[string]string{"ours": "1", "old": "1"})); err != nil {
		t.Fatal(err)
	}
	got := &mcsv1beta1.ServiceImport{}
	key := client.ObjectKey{Namespace: "default", Name: "shop"}
	if err := c.Get(ctx, key, got); err != nil {
		t.Fatal(err)
	}
	if len(got.Status.Clusters) > 0 {
		t.Error("Apply wrote the status")
	}
	got.Labels["theirs"] = "1"
	if err := c.Update(ctx, got); err != nil {
		t.Fatal(err)
	}
	answer := serviceImport(map[string]string{"ours": "1"})
	if err := w.Apply(ctx, answer); err != nil {
		t.Fatal(err)
	}
	if _, old := answer.Labels["old"]; old || answer.Labels["theirs"] != "1" || answer.Labels["ours"] != "1" {
		t.Errorf("labels %v", answer.Labels)
	}
	if err := w.ApplyStatus(ctx, serviceImport(nil)); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(ctx, key, got); err != nil {
		t.Fatal(err)
	}
	if len(got.Status.Clusters) != 1 || got.Labels["ours"] != "1" {
		t.Errorf("status %+v, labels %v", got.Status, got.Labels)
	}
	want := `
# HELP eastway_controller_writes_total Writes to the Kubernetes API by kind of object, verb and outcome.
# TYPE eastway_controller_writes_total counter
eastway_controller_writes_total{kind="ServiceImport",outcome="ok",verb="apply"} 2
eastway_controller_writes_total{kind="ServiceImport",outcome="ok",verb="apply_status"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w, c, _ := newWriter(t, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop", UID: "1"}})
	ctx := t.Context()
	there := &corev1.Service{}
	for _, name := range []string{"shop", "gone"} {
		if err := w.Delete(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, there); !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	t.Parallel()
	w, _, _ := newWriter(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "ca"}})
	err := w.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "ca"}})
	if !apierrors.IsAlreadyExists(err) || !strings.Contains(err.Error(), "create Secret n/ca") {
		t.Errorf("%v", err)
	}
}

func TestNamelessIsRefused(t *testing.T) {
	t.Parallel()
	w, _, _ := newWriter(t)
	if err := w.Apply(t.Context(), &corev1.Service{}); err == nil {
		t.Error("applied an object without a name")
	}
}

func TestOwnedBy(t *testing.T) {
	t.Parallel()
	owner := &metav1.OwnerReference{Kind: "ClusterRole", Name: "role", UID: "new"}
	tests := map[string]struct {
		has  []metav1.OwnerReference
		by   *metav1.OwnerReference
		want bool
	}{
		"no owner":              {nil, owner, false},
		"no owner, none wanted": {nil, nil, true},
		"owned":                 {[]metav1.OwnerReference{{UID: "other"}, *owner}, owner, true},
		"an older owner of that name": {
			[]metav1.OwnerReference{{Kind: "ClusterRole", Name: "role", UID: "old"}}, owner, false,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{OwnerReferences: test.has}}
			if got := apply.OwnedBy(o, test.by); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
