package status

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// When a status is written again: with the same version, and with a newer one.
func TestQueue(t *testing.T) {
	t.Parallel()
	gateways := schema.GroupResource{Resource: "gateways"}
	for name, c := range map[string]struct {
		err         error
		same, newer time.Duration
	}{
		"written":  {nil, echo, 0},
		"gone":     {apierrors.NewNotFound(gateways, ""), echo, 0},
		"conflict": {apierrors.NewConflict(gateways, "", nil), minBackoff, 0},
		"refused":  {apierrors.NewForbidden(gateways, "", nil), maxBackoff, maxBackoff},
		"away":     {errors.New("connection refused"), minBackoff, minBackoff},
	} {
		for _, version := range []string{"1", "2"} {
			want := c.same
			if version == "2" {
				want = c.newer
			}
			var q queue
			start := time.Unix(1000, 0)
			first := Change{ID: ID{Gateway, named("web")}, Version: "1"}
			if send, _ := q.due([]Change{first}, start); len(send) != 1 {
				t.Fatalf("%s: not sent", name)
			}
			q.done(&first, c.err, start, 0)
			again := []Change{{ID: first.ID, Version: version}}
			if want > 0 {
				send, next := q.due(again, start.Add(want-1))
				if len(send) != 0 || !next.Equal(start.Add(want)) {
					t.Errorf("%s, version %s: %d sent too early, next at %v", name, version, len(send), next)
				}
			}
			if send, _ := q.due(again, start.Add(want)); len(send) != 1 {
				t.Errorf("%s, version %s: not sent again", name, version)
			}
		}
	}
}

// Waits grow while a write fails, and what has nothing to be written is forgotten.
func TestQueueBacksOff(t *testing.T) {
	t.Parallel()
	var q queue
	now := time.Unix(1000, 0)
	c := []Change{{ID: ID{Gateway, named("web")}, Version: "1"}}
	var waits []time.Duration
	for range 7 {
		if send, _ := q.due(c, now); len(send) != 1 {
			t.Fatal("not sent")
		}
		q.done(&c[0], errors.New("connection refused"), now, 0)
		_, next := q.due(c, now)
		waits = append(waits, next.Sub(now))
		now = next
	}
	for i, want := range []int{1, 2, 4, 8, 16, 30, 30} {
		if waits[i] != time.Duration(want)*time.Second {
			t.Errorf("waits %v", waits)
			break
		}
	}
	if send, next := q.due(nil, now); len(send) != 0 || !next.IsZero() || len(q.held) != 0 {
		t.Errorf("%v is kept", q.held)
	}
}
