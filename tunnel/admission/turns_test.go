package admission

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// turnWorld has places that are named by letters; those of known sources are capital.
type turnWorld struct {
	turns

	places map[rune]*Place
}

func (w *turnWorld) place(name rune) *Place {
	if w.places[name] == nil {
		w.places[name] = &Place{known: name < 'a'}
	}
	return w.places[name]
}

// granted are the names of those that have a turn.
func (w *turnWorld) granted() string {
	var all []rune
	for name, p := range w.places {
		if p.turn.granted {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return string(all)
}

// Few compute at once; who waits gets the turn that comes free, known sources first.
func TestTurns(t *testing.T) {
	t.Parallel()
	const most = 2
	for _, tt := range []struct {
		name string
		do   string // a letter requests a turn, one after a dash ends it
		want string
	}{
		{"as many as there are", "ab", "ab"},
		{"one more waits", "abc", "ab"},
		{"the next one gets it", "abcd-a", "bc"},
		{"one that has waited longest", "abcde-a-b", "cd"},
		{"a known source goes first", "abcdE-a", "Eb"},
		{"known sources in their order", "abcDEF-a-b", "DE"},
		{"a known source waits for one that computes", "abC", "ab"},
		{"one that waits no longer", "abcd-c-a", "bd"},
		{"one that has none", "ab-c-c", "ab"},
		{"given back twice", "abcd-a-a", "bc"},
		{"again after it", "ab-a-ba", "a"},
		{"again, behind those that wait", "abcd-aa-b", "cd"},
		{"one that it has already", "aabc-a", "bc"},
		{"all", "abcD-a-b-c-D", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := turnWorld{places: map[rune]*Place{}}
			end := false
			for _, name := range tt.do {
				switch {
				case name == '-':
					end = true
					continue
				case end:
					w.end(w.place(name), most)
				default:
					w.take(w.place(name), most)
				}
				end = false
			}
			if got := w.granted(); got != tt.want || w.taken != len(tt.want) {
				t.Errorf("%q have a turn, %d are counted, want %q", got, w.taken, tt.want)
			}
		})
	}
}

// A place that waits learns what becomes of it, and no turn is lost.
func TestTurnEnds(t *testing.T) {
	t.Parallel()
	errGone := errors.New("gone")
	for _, tt := range []struct {
		name string
		do   func(c *crowd, p *Place, cancel context.CancelCauseFunc)
		want error
	}{
		{"a turn comes free", func(c *crowd, _ *Place, _ context.CancelCauseFunc) { c.Yield(c.own[0]) }, nil},
		{"who has it leaves", func(c *crowd, _ *Place, _ context.CancelCauseFunc) { c.Leave(c.own[0]) }, nil},
		{"the place is lost", func(c *crowd, _ *Place, _ context.CancelCauseFunc) { c.arrive(MaxHandshakes, ipv4) }, ErrLost},
		{"it has no time any more", func(_ *crowd, _ *Place, cancel context.CancelCauseFunc) { cancel(errGone) }, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCrowd()
				for range mostTurns() {
					if err := c.Turn(t.Context(), c.watch("192.0.2.1")); err != nil {
						t.Fatal(err)
					}
				}
				p := c.watch("198.51.100.7")
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				got := make(chan error, 1)
				go func() { got <- c.Turn(ctx, p) }()
				synctest.Wait()
				if len(got) > 0 {
					t.Fatalf("it has a turn beyond %d, or none: %v", mostTurns(), <-got)
				}
				tt.do(c, p, cancel)
				if err := <-got; !errors.Is(err, tt.want) {
					t.Errorf("it ended with %v, want %v", err, tt.want)
				}
				if tt.want != nil && c.Turn(ctx, p) == nil {
					t.Error("it has a turn after its end")
				}
				c.Leave(p)
				for _, o := range c.own {
					c.Leave(o)
				}
				if c.turns.taken != 0 || len(c.turns.waiting[0])+len(c.turns.waiting[1]) != 0 {
					t.Errorf("left: %+v", &c.turns)
				}
			})
		})
	}
}
