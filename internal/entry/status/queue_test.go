package status

import (
	"errors"
	"fmt"
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

// Another controller that undoes each write does not keep this one busy; after a calm time, writes are made at once again.
func TestQueueOfAFight(t *testing.T) {
	t.Parallel()
	var q queue
	now := time.Unix(1000, 0)
	written := 0
	c := Change{ID: ID{Gateway, named("web")}}
	step := func() bool {
		c.Version = fmt.Sprint(now.UnixNano())
		send, next := q.due([]Change{c}, now)
		if len(send) == 0 && !next.After(now) {
			t.Fatalf("nothing is sent, and the next time is %v", next)
		}
		if len(send) > 0 {
			q.done(&c, nil, now, 0)
		}
		q.due(nil, now) // it is what it should be, for a moment
		return len(send) > 0
	}
	const time10 = 10 * time.Millisecond
	for end := now.Add(calm); now.Before(end); now = now.Add(time10) {
		if step() {
			written++
		}
	}
	if want := frequent + int(calm/pause); written > want || written < want-2 {
		t.Errorf("%d writes within a minute, want about %d", written, want)
	}
	now = now.Add(calm + pause)
	q.due(nil, now)
	for range frequent {
		if !step() {
			t.Fatal("after a calm time a write waits")
		}
		now = now.Add(time10)
	}
}
