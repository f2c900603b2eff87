package mcs

import (
	"context"
	"slices"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// journal is everything that became of a namespace's ServiceImports: what must never have been is looked up here, where a look
// at the object now and then could miss it.
type journal struct {
	// end of following, for what cuts off watches on purpose.
	end func()

	mu     sync.Mutex
	events []watch.Event
}

// follow a namespace until the test ends.
func follow(t *testing.T, c client.WithWatch, namespace string) *journal {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	// From where a list ends: a watch from now on would wait for the API server's cache to be told how late it is.
	var list mcsv1alpha1.ServiceImportList
	must(t, c.List(ctx, &list, client.InNamespace(namespace)))
	from := &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
	watcher, err := c.Watch(ctx, &mcsv1alpha1.ServiceImportList{}, from)
	must(t, err)
	j := &journal{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for event := range watcher.ResultChan() {
			j.mu.Lock()
			j.events = append(j.events, event)
			j.mu.Unlock()
		}
		if ctx.Err() == nil {
			t.Errorf("the watch of ServiceImports has ended, what happened since is unknown: %+v", j.last())
		}
	}()
	j.end = func() {
		cancel()
		watcher.Stop()
		<-ended
	}
	t.Cleanup(j.end)
	return j
}

// last event, if there was any.
func (j *journal) last() (event watch.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.events); n > 0 {
		event = j.events[n-1]
	}
	return event
}

// of a service's import.
func (j *journal) of(name string) []watch.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.events), func(e watch.Event) bool {
		i, ok := e.Object.(*mcsv1alpha1.ServiceImport)
		return !ok || i.Name != name
	})
}
