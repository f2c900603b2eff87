package kube

import (
	"fmt"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/internal/entry/status"
	"github.com/eastway/eastway/internal/follow"
)

// table has the last good state of what a feed follows. A reflector keeps it up to date (cache.ReflectorStore).
type table struct {
	*resource
	wake func()

	mu      *sync.Mutex // that of the Source: the tables are one picture
	objects map[types.NamespacedName]metav1.Object
	broken  map[types.NamespacedName]string
	synced  bool
	// statuses are those of objects of kinds with one, see resource.see.
	statuses map[types.NamespacedName]status.Object
}

// Add takes an object that is new.
func (t *table) Add(v any) error {
	u, ok := v.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is not an object", v)
	}
	t.mu.Lock()
	changed := t.put(u)
	t.mu.Unlock()
	if changed {
		t.wake()
	}
	return nil
}

// Update takes a newer version of an object.
func (t *table) Update(v any) error { return t.Add(v) }

// put converts an object, and keeps the last one that has the form of its kind.
func (t *table) put(u *unstructured.Unstructured) (changed bool) {
	key := nameOf(u)
	if t.object != "" && key.Name != t.object {
		return false
	}
	noted := t.note(u)
	is, err := t.convert(u)
	if err != nil {
		was := t.broken[key]
		t.broken[key] = follow.Clip(err.Error())
		return noted || was != t.broken[key]
	}
	_, repaired := t.broken[key]
	delete(t.broken, key)
	was := t.objects[key]
	t.objects[key] = is
	return noted || repaired || !reflect.DeepEqual(was, is)
}

// Delete forgets an object.
func (t *table) Delete(v any) error {
	o, ok := v.(metav1.Object)
	if !ok {
		return fmt.Errorf("%T is not an object", v)
	}
	t.mu.Lock()
	t.drop(nameOf(o))
	t.mu.Unlock()
	t.wake()
	return nil
}

func (t *table) drop(key types.NamespacedName) {
	delete(t.objects, key)
	delete(t.broken, key)
	delete(t.statuses, key)
}

// Replace takes a complete list: what is not in it is gone. Until here everything that was known has stayed.
func (t *table) Replace(list []any, _ string) error {
	t.mu.Lock()
	defer t.wake()
	defer t.mu.Unlock()
	there := make(map[types.NamespacedName]bool, len(list))
	for _, v := range list {
		u, ok := v.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%T is not an object", v)
		}
		there[nameOf(u)] = true
		t.put(u)
	}
	for key := range t.objects {
		if !there[key] {
			t.drop(key)
		}
	}
	for key := range t.statuses {
		if !there[key] {
			t.drop(key)
		}
	}
	for key := range t.broken {
		if !there[key] {
			t.drop(key)
		}
	}
	t.synced = true
	return nil
}

// Resync has nothing to do.
func (*table) Resync() error { return nil }

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
