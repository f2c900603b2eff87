package identity

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (w *world) remove(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.c.Delete(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) published() *corev1.ConfigMap {
	w.t.Helper()
	m := &corev1.ConfigMap{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: "system", Name: "cluster"}, m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// A CA that is gone is made anew only where nothing of the installation has its roots.
func TestLostCA(t *testing.T) {
	t.Parallel()
	owner := func(uid string) *metav1.OwnerReference {
		return &metav1.OwnerReference{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "role", UID: types.UID(uid)}
	}
	for name, c := range map[string]struct {
		owner   *metav1.OwnerReference
		lose    func(*world)
		refused string // what the error names; "": another CA is made
	}{
		"the CA alone":                {nil, func(*world) {}, "Secret svid and ConfigMap cluster"},
		"the CA alone, with an owner": {owner("a"), func(*world) {}, "kubectl -n system delete secret/svid configmap/cluster"},
		"all Secrets": {
			nil, func(w *world) { w.remove(w.secret("svid"), w.secret("node-svid")) }, "kubectl -n system delete configmap/cluster",
		},
		"without a manifest": {nil, func(w *world) { w.remove(w.published()) }, "kubectl -n system delete secret/svid"},
		"made before there were owners": {nil, func(w *world) {
			w.remove(w.secret("svid"))
			w.r.cfg.Owner = owner("a")
		}, "ConfigMap cluster"},
		"to start over": {nil, func(w *world) { w.remove(w.secret("svid"), w.published()) }, ""},
		"installed again while Kubernetes removes the rest": {owner("a"), func(w *world) { w.r.cfg.Owner = owner("b") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := record.NewFakeRecorder(10)
			w := newWorld(t, func(cfg *Config) { cfg.Owner, cfg.Events = c.owner, events })
			w.must()
			ca := w.secret("ca")
			w.remove(ca)
			c.lose(w)
			before := w.svid()
			_, err := w.reconcile()
			if c.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Equal(w.secret("ca").Data["tls.crt"], ca.Data["tls.crt"]) || len(events.Events) > 0 {
					t.Errorf("no other CA, or %d events", len(events.Events))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "Secret system/ca, is gone") {
				t.Errorf("%v, want %q", err, c.refused)
			}
			if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(ca), &corev1.Secret{}); !apierrors.IsNotFound(err) {
				t.Errorf("another CA was made: %v", err)
			}
			if len(events.Events) != 1 || !strings.Contains(<-events.Events, "Warning "+lostReason) {
				t.Error("there is no event about it")
			}
			if w.svid() != before {
				t.Error("the certificate was written")
			}
			if _, err := w.r.cfg.Holder.GetX509SVID(); err != nil {
				t.Errorf("the certificate is not used: %v", err)
			}
			ca.ResourceVersion = "" // a backup
			if err := w.c.Create(t.Context(), ca); err != nil {
				t.Fatal(err)
			}
			w.must()
			if before != "" && w.svid() != before {
				t.Error("another certificate although the CA is back")
			}
		})
	}
}

// svid is the version of the Secret of the proxies' certificate, "" without one.
func (w *world) svid() string {
	w.t.Helper()
	s := &corev1.Secret{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: "system", Name: "svid"}, s); err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return s.ResourceVersion
}
