package mcs_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// order is in which the exporters decide, according to the derived Service that the proxies read.
func (w *world) order() string {
	w.t.Helper()
	d := w.derived(v1alpha1.DerivedImport)
	if len(d) != 1 {
		w.t.Fatalf("%d derived Services", len(d))
	}
	return d[0].Annotations[v1alpha1.PrecedenceAnnotation]
}

// firstPort is the name and number of the import's first port.
func (w *world) firstPort() mcsv1beta1.ServicePort {
	w.t.Helper()
	return w.serviceImport().Spec.Ports[0]
}

const heardAnnotation = "eastway.dev/first-heard"

// changed has another port of the same name, and claims to be from 1970.
func changed(e *discovery.PeerExport) {
	e.Ports = []discovery.ServicePort{{Name: "http", Port: 8888, Protocol: "TCP"}}
	e.Readiness[0].Port = 8888
	e.Spec.SessionAffinity = ""
	e.Export.Created = time.Unix(1, 0)
}

// A peer that claims 1970 decides nothing about an export that was here before, also not when the controller starts anew, however its clock
// goes, and not after the peer has withdrawn it and exports it again.
func TestClaimOf1970(t *testing.T) {
	t.Parallel()
	for name, now := range map[string]time.Time{"later": second(20), "in the same second": second(10), "by a clock that is behind": second(3)} {
		w := newWorld(t, shop, shopPods, shopExport, peerA)
		w.restart()
		w.now = now
		w.reconcile()
		good := func(when string) {
			t.Helper()
			w.reconcile()
			if p := w.firstPort(); p.Port != 80 || w.serviceImport().Spec.SessionAffinity != "ClientIP" || w.order() != "here,a" {
				t.Errorf("%s, %s: port %+v of %q, order %s", name, when, p, w.serviceImport().Spec.SessionAffinity, w.order())
			}
			if c := w.exportCondition("Conflict"); !strings.HasPrefix(c, "True/PortConflict") {
				t.Errorf("%s, %s: Conflict %s", name, when, c)
			}
		}
		w.tell("a", remote(0, changed))
		good("at first")
		w.restart()
		w.now = w.now.Add(time.Hour)
		good("after a restart")
		w.tell("a", remote(0, changed))
		good("heard again")
		w.tell("a")
		w.reconcile()
		if _, left := w.serviceImport().Annotations[heardAnnotation]; left {
			t.Errorf("%s: the record stays when the export is withdrawn", name)
		}
		w.tell("a", remote(0, changed))
		good("exported again")
	}
}

// An export that was heard of before the own one was made is older, whatever its age is then; that outlives a restart.
func TestHeardBeforeTheOwnExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopPods, peerA)
	w.restart()
	w.now = second(10).Add(time.Millisecond)
	w.tell("a", remote(0, changed))
	w.reconcile()
	if got := w.serviceImport().Annotations[heardAnnotation]; got != "a=2024-01-01T00:00:09Z" {
		t.Errorf("recorded is %q", got)
	}
	w.create(shopExport) // in the same second
	w.now = second(50)
	for range 2 {
		w.reconcile()
		if p := w.firstPort(); p.Port != 8888 || w.order() != "a,here" {
			t.Errorf("port %+v, order %s", p, w.order())
		}
		w.restart()
	}
}

// Of peers, that decides which was heard of first; a service is none of the own cluster.
func TestHeardOfPeers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peerA, peerB)
	w.restart()
	w.now = second(9)
	w.tell("b", remote(8))
	w.reconcile()
	w.now = second(30)
	w.tell("a", remote(0, changed))
	w.reconcile()
	if p := w.firstPort(); p.Port != 80 || w.order() != "b,a" {
		t.Errorf("port %+v, order %s", p, w.order())
	}
}

// An import of a release that kept no record: its exporters were heard of when it was made.
func TestImportWithoutRecord(t *testing.T) {
	t.Parallel()
	for made, want := range map[time.Time]string{second(5): "a,here", second(11): "here,a"} {
		w := newWorld(t, shop, shopPods, shopExport, peerA)
		w.restart()
		w.now = second(2)
		w.tell("a", remote(1))
		w.reconcile()
		edit(w, &mcsv1beta1.ServiceImport{}, "default", "shop", func(i *mcsv1beta1.ServiceImport) {
			delete(i.Annotations, heardAnnotation)
			i.CreationTimestamp = metav1.NewTime(made)
		})
		w.now = second(40)
		w.restart()
		w.reconcile()
		if got := w.order(); got != want {
			t.Errorf("made at %v: %s, want %s", made, got, want)
		}
		if got := w.serviceImport().Annotations[heardAnnotation]; got != "a="+made.Format(time.RFC3339) {
			t.Errorf("recorded is %q", got)
		}
	}
}

// A record that was edited into something else is made anew.
func TestRecordIsBroken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopPods, shopExport, peerA)
	w.restart()
	w.now = second(20)
	w.tell("a", remote(1))
	w.reconcile()
	for _, text := range []string{"", "a", "a=yesterday", ",,=,", "b=2024-01-01T00:00:00Z"} {
		edit(w, &mcsv1beta1.ServiceImport{}, "default", "shop", func(i *mcsv1beta1.ServiceImport) {
			i.Annotations[heardAnnotation] = text
		})
		w.reconcile()
		if got := w.serviceImport().Annotations[heardAnnotation]; got != "a=2024-01-01T00:00:20Z" {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if !slices.Equal(w.clusters(), []string{"a", own}) {
		t.Errorf("%v", w.clusters())
	}
}
