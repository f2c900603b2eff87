package kube

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/discovery/internal/translate"
)

// table holds the last good state of all objects of one kind. A reflector keeps it up to date (cache.ReflectorStore).
type table struct {
	*resource
	check *translate.Checker
	// changed is called with each object that changed, under mu; wake without mu if there were any.
	changed func(was, is metav1.Object)
	wake    func()

	mu       *sync.Mutex // that of the whole source: the tables are one picture
	objects  map[types.NamespacedName]metav1.Object
	problems map[types.NamespacedName]findings
	synced   bool      // the list of the API server is complete
	restored time.Time // when the snapshot was made that is used until then; zero: there was none
	failed   bool      // a request to the API server has failed at least once
	unsaved  bool      // there is something that the snapshot does not have
}

// findings are the problems of an object, and the service that it is about.
type findings struct {
	about    name
	problems []Problem
}

func newTable(r *resource, check *translate.Checker, mu *sync.Mutex, changed func(was, is metav1.Object), wake func()) *table {
	return &table{
		resource: r, check: check, mu: mu, changed: changed, wake: wake,
		objects:  map[types.NamespacedName]metav1.Object{},
		problems: map[types.NamespacedName]findings{},
	}
}

// version is one version of an object.
type version struct {
	key    types.NamespacedName
	object metav1.Object // nil: not relevant, or not to be used
	broken bool
	findings
}

// read trims and checks an object: the expensive part, for which no lock is held.
func (t *table) read(v any) (version, error) {
	from, ok := v.(metav1.Object)
	if !ok {
		return version{}, fmt.Errorf("%T is not an object", v)
	}
	n := version{key: types.NamespacedName{Namespace: from.GetNamespace(), Name: from.GetName()}}
	n.about = name(n.key)
	if service := from.GetLabels()[discoveryv1.LabelServiceName]; t.kind == kindSlice {
		n.about.Name = service
	}
	n.object, n.problems = t.convert(v)
	if n.object != nil {
		var problems []Problem
		n.object, problems = t.examine(n.object)
		n.problems = append(n.problems, problems...)
	}
	n.broken = slices.ContainsFunc(n.problems, func(p Problem) bool { return !p.Warning })
	return n, nil
}

// examine trims and checks an object of the kind's own type; nil if it is not relevant.
func (t *table) examine(o metav1.Object) (metav1.Object, []Problem) {
	trimmed, problems := t.trim(o)
	if trimmed == nil {
		return nil, problems
	}
	return trimmed, append(problems, faults(t.kind, trimmed, t.check.Check(trimmed.GetNamespace(), trimmed))...)
}

// Add takes an object that is new.
func (t *table) Add(v any) error {
	n, err := t.read(v)
	if err != nil {
		return err
	}
	t.mu.Lock()
	changed := t.put(n)
	t.mu.Unlock()
	if changed {
		t.wake()
	}
	return nil
}

// Update takes a newer version of an object.
func (t *table) Update(v any) error { return t.Add(v) }

// Delete forgets an object.
func (t *table) Delete(v any) error {
	o, ok := v.(metav1.Object)
	if !ok {
		return fmt.Errorf("%T is not an object", v)
	}
	t.mu.Lock()
	changed := t.drop(types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()})
	t.mu.Unlock()
	if changed {
		t.wake()
	}
	return nil
}

// Replace takes a complete list: what is not in it is gone. Until here everything that was known has stayed.
func (t *table) Replace(list []any, _ string) error {
	all := make(map[types.NamespacedName]version, len(list))
	for i, v := range list {
		n, err := t.read(v)
		if err != nil {
			return err
		}
		all[n.key] = n
		list[i] = nil // large, and the list is ours by now
	}
	t.mu.Lock()
	for key := range t.objects {
		if _, ok := all[key]; !ok {
			t.drop(key)
		}
	}
	maps.DeleteFunc(t.problems, func(key types.NamespacedName, _ findings) bool {
		_, ok := all[key]
		return !ok
	})
	for _, n := range all {
		t.put(n)
	}
	t.synced, t.unsaved = true, true
	t.mu.Unlock()
	t.wake()
	return nil
}

// Resync is for queues only.
func (t *table) Resync() error { return nil }

// put takes the newest version of one object; a broken one leaves the last good one in use. t.mu is held.
func (t *table) put(n version) bool {
	was, known := t.objects[n.key]
	had := len(t.problems[n.key].problems) > 0
	delete(t.problems, n.key)
	switch {
	case n.broken:
		for i := range n.problems {
			if known && !n.problems[i].Warning {
				n.problems[i].Message += "; its last good version stays in use"
			}
		}
		t.problems[n.key] = n.findings
		return true
	case n.object == nil:
		return t.drop(n.key) || had
	}
	if len(n.problems) > 0 {
		t.problems[n.key] = n.findings
	}
	if known && reflect.DeepEqual(was, n.object) {
		return had || len(n.problems) > 0
	}
	t.objects[n.key] = n.object
	t.unsaved = true
	t.changed(was, n.object)
	return true
}

// drop forgets one object. t.mu is held.
func (t *table) drop(key types.NamespacedName) bool {
	had := len(t.problems[key].problems) > 0
	delete(t.problems, key)
	was, known := t.objects[key]
	if !known {
		return had
	}
	delete(t.objects, key)
	t.unsaved = true
	t.changed(was, nil)
	return true
}

// restore takes objects of the snapshot, which are used until the list of the API server is complete. It returns how many
// of them are not good.
func (t *table) restore(objects []metav1.Object, saved time.Time) (bad int) {
	good := make([]version, 0, len(objects))
	for _, o := range objects {
		trimmed, problems := t.examine(o)
		if trimmed == nil || len(problems) > 0 {
			bad++
			continue
		}
		good = append(good, version{key: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, object: trimmed})
	}
	t.mu.Lock()
	for _, n := range good {
		t.put(n)
	}
	t.restored, t.unsaved = saved, false
	t.mu.Unlock()
	t.wake()
	return bad
}

// markUnreachable records that a request to the API server failed.
func (t *table) markUnreachable() {
	t.mu.Lock()
	t.failed = true
	t.mu.Unlock()
	t.wake()
}

// known is true once there is something to work with. t.mu is held.
func (t *table) known() bool { return t.synced || !t.restored.IsZero() }

// settled is true once no kind is waited for. t.mu is held.
func (t *table) settled() bool { return t.known() || t.failed }
