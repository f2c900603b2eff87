package pace

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSleep(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		sleep, end time.Duration // when the context ends
		want       bool
		passed     time.Duration
	}{
		{name: "to the end", sleep: time.Second, end: time.Minute, want: true, passed: time.Second},
		{name: "the context ends first", sleep: time.Minute, end: time.Second, want: false, passed: time.Second},
		{name: "the context has ended already", sleep: time.Minute, end: 0, want: false, passed: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), test.end)
				defer cancel()
				if got := Sleep(ctx, test.sleep); got != test.want {
					t.Errorf("Sleep returned %v, want %v", got, test.want)
				}
				if passed := time.Since(began); passed != test.passed {
					t.Errorf("Sleep took %v, want %v", passed, test.passed)
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		failures    int
		least, most time.Duration
		want        time.Duration
	}{
		{-1, time.Second, time.Minute, 0},
		{0, time.Second, time.Minute, 0},
		{1, time.Second, time.Minute, time.Second},
		{2, time.Second, time.Minute, 2 * time.Second},
		{6, time.Second, time.Minute, 32 * time.Second},
		{7, time.Second, time.Minute, time.Minute},
		{math.MaxInt, time.Second, time.Minute, time.Minute},
		{math.MaxInt, 0, time.Minute, time.Minute}, // does not loop for ever
		{100, time.Second, math.MaxInt64, math.MaxInt64},
		{1, time.Minute, time.Second, time.Second},
		{2, time.Second, time.Second, time.Second},
	} {
		if got := Backoff(test.failures, test.least, test.most); got != test.want {
			t.Errorf("Backoff(%d, %v, %v) is %v, want %v", test.failures, test.least, test.most, got, test.want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		d                 time.Duration
		low, high, random float64
		want              time.Duration
	}{
		{time.Second, 0.5, 1.5, 0, 500 * time.Millisecond},
		{time.Second, 0.5, 1.5, 0.5, time.Second},
		{time.Second, 0.5, 1.5, 0.75, 1250 * time.Millisecond},
		{time.Second, 1, 1.2, 0.5, 1100 * time.Millisecond},
		{time.Second, 1, 1, 0.9, time.Second},
		{0, 0.5, 1.5, 0.9, 0},
	} {
		if got := Spread(test.d, test.low, test.high, test.random); got != test.want {
			t.Errorf("Spread(%v, %v, %v, %v) is %v, want %v", test.d, test.low, test.high, test.random, got, test.want)
		}
	}
}

func TestRest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		took  time.Duration
		times int
		most  time.Duration
		want  time.Duration
	}{
		{10 * time.Millisecond, 10, 5 * time.Second, 100 * time.Millisecond},
		{time.Second, 10, 5 * time.Second, 5 * time.Second},
		{500 * time.Millisecond, 10, 5 * time.Second, 5 * time.Second},
		{math.MaxInt64, 10, 5 * time.Second, 5 * time.Second}, // does not overflow
		{0, 10, 5 * time.Second, 0},
		{-time.Second, 10, 5 * time.Second, 0}, // the clock was set back
		{time.Second, 0, 5 * time.Second, 0},
	} {
		if got := Rest(test.took, test.times, test.most); got != test.want {
			t.Errorf("Rest(%v, %d, %v) is %v, want %v", test.took, test.times, test.most, got, test.want)
		}
	}
}

func ExampleBackoff() {
	for failures := 1; failures <= 5; failures++ {
		fmt.Print(Backoff(failures, 500*time.Millisecond, 5*time.Second), " ")
	}
	// Output: 500ms 1s 2s 4s 5s
}

func ExampleSpread() {
	const random = 0.25 // one of rand.Float64
	fmt.Println(Spread(Backoff(3, time.Second, time.Minute), 0.5, 1.5, random))
	// Output: 3s
}

func ExampleRest() {
	fmt.Println(Rest(30*time.Millisecond, 10, 5*time.Second))
	// Output: 300ms
}

func ExampleSleep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	turns := 0
	for Sleep(ctx, time.Millisecond) {
		if turns++; turns == 3 {
			cancel()
		}
	}
	fmt.Println(turns, "turns")
	// Output: 3 turns
}
