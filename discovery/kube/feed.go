package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/eastway/eastway/internal/follow"
)

// feed follows one kind and keeps its table up to date.
type feed struct {
	*table

	run func(context.Context)
	// failing is why the kind is not followed at present; nil when it is.
	failing func() *follow.Failure
}

func newFeed(t *table, c *client, m *metrics) *feed {
	f := follow.New(follow.Config{
		Name: t.name, Kind: t.kind, Store: t, Versions: len(t.versions),
		List: func(ctx context.Context, version int, opts metav1.ListOptions) (runtime.Object, error) {
			return c.list(ctx, t.resource, t.versions[version], opts)
		},
		Watch: func(ctx context.Context, version int, opts metav1.ListOptions) (watch.Interface, error) {
			return c.watch(ctx, t.resource, t.versions[version], opts)
		},
		Failed: func(bool) { t.markUnreachable() }, Mended: t.wake,
		Listed: func(err error) { m.lists.WithLabelValues(t.name, resultOf(err)).Inc() },
	})
	return &feed{table: t, run: f.Run, failing: f.Failure}
}
