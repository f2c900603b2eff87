package openloop

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Requests begin on time although none is answered, and none is given up at the end.
func TestRunKeepsItsPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		begun, answer, ended := time.Now(), make(chan struct{}), make(chan struct{})
		sent, cut := make(chan time.Duration, 10), make(chan error, 10)
		go func() {
			defer close(ended)
			Run(ctx, Load{Rate: 10, Lead: 50 * time.Millisecond}, func(ctx context.Context, n int) {
				sent <- time.Since(begun) - time.Duration(n)*100*time.Millisecond
				<-answer
				cut <- ctx.Err()
			})
		}()
		bubble.Pass(500 * time.Millisecond)
		stop()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("ended with requests under way")
		default:
		}
		close(answer)
		<-ended
		close(sent)
		close(cut)
		var leads []time.Duration
		for lead := range sent {
			leads = append(leads, lead)
		}
		if want := slices.Repeat([]time.Duration{50 * time.Millisecond}, 5); !slices.Equal(leads, want) {
			t.Errorf("requests began %v after their turn, want %v", leads, want)
		}
		for err := range cut {
			if err != nil {
				t.Errorf("a request under way was given up: %v", err)
			}
		}
	})
}

// Turns are left out while too many requests are without an answer, and requests go on with the next number.
func TestRunBoundsWhatIsPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		answer, ended := make(chan struct{}), make(chan struct{})
		sent := make(chan int, 10)
		go func() {
			defer close(ended)
			Run(ctx, Load{Rate: 10, MaxPending: 2}, func(_ context.Context, n int) {
				sent <- n
				<-answer
			})
		}()
		bubble.Pass(time.Second)
		if n := len(sent); n != 2 {
			t.Errorf("%d requests without an answer, want 2", n)
		}
		answer <- struct{}{}
		bubble.Pass(time.Second)
		stop()
		close(answer)
		<-ended
		close(sent)
		var got []int
		for n := range sent {
			got = append(got, n)
		}
		slices.Sort(got)
		if want := []int{0, 1, 2}; !slices.Equal(got, want) {
			t.Errorf("requests %v, want %v", got, want)
		}
	})
}

func TestMethodsTakeTurns(t *testing.T) {
	t.Parallel()
	if Method(0) != http.MethodGet || Method(1) != http.MethodPost || Method(2) != http.MethodGet {
		t.Error("GET and POST do not take turns")
	}
}
