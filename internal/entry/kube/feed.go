package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/eastway/eastway/internal/follow"
)

// feed follows one kind, or one Secret, and keeps its table up to date.
type feed struct {
	*table
	*follow.Feed
}

func newFeed(client dynamic.Interface, t *table) *feed {
	at := func(version int) dynamic.ResourceInterface {
		r := client.Resource(t.versions[version].WithResource(t.name))
		if t.namespace == "" {
			return r
		}
		return r.Namespace(t.namespace)
	}
	narrowed := func(opts metav1.ListOptions) metav1.ListOptions {
		opts.LabelSelector, opts.FieldSelector = t.labels, t.fields
		return opts
	}
	return &feed{table: t, Feed: follow.New(follow.Config{
		Name: t.name, Kind: t.kind, Store: t, Versions: len(t.versions),
		List: func(ctx context.Context, version int, opts metav1.ListOptions) (runtime.Object, error) {
			list, err := at(version).List(ctx, narrowed(opts))
			if err != nil {
				return nil, err // not a nil list in an interface
			}
			return list, nil
		},
		Watch: func(ctx context.Context, version int, opts metav1.ListOptions) (watch.Interface, error) {
			return at(version).Watch(ctx, narrowed(opts))
		},
		Failed: func(news bool) {
			if news {
				t.wake()
			}
		},
		Mended: t.wake,
	})}
}

// settled is true when it is known what there is, or that it cannot be known for now for a reason that is the kind's own. table.mu is held.
func (f *feed) settled() bool {
	if f.synced {
		return true
	}
	why := f.Failure()
	return why != nil && !why.Away()
}
