package settled

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// added notes what is put into a queue.
type added struct {
	Queue

	list []string
}

func (a *added) AddAfter(r reconcile.Request, wait time.Duration) {
	a.list = append(a.list, fmt.Sprint(r.Name, " after ", wait))
}

// What an object affected before a change is looked at, as well as what it affects after it.
func TestHandler(t *testing.T) {
	t.Parallel()
	named := func(name string) *corev1.Service { return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	h := Handler(time.Second, func(_ context.Context, o client.Object) []types.NamespacedName {
		return []types.NamespacedName{{Name: o.GetName()}, {Name: "all"}}
	})
	var got added
	h.Create(t.Context(), event.CreateEvent{Object: named("a")}, &got)
	h.Update(t.Context(), event.UpdateEvent{ObjectOld: named("b"), ObjectNew: named("c")}, &got)
	h.Delete(t.Context(), event.DeleteEvent{Object: named("d")}, &got)
	want := []string{
		"a after 1s", "all after 1s", "b after 1s", "all after 1s", "c after 1s", "all after 1s", "d after 1s", "all after 1s",
	}
	if !slices.Equal(got.list, want) {
		t.Errorf("%q", got.list)
	}
}
