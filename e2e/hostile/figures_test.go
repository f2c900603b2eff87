package hostile

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// MiB is a unit of budgets.
const MiB = 1 << 20

// What may stay when an attacker has left: room in pools, and lanes that were dialed under load, which stay for a minute.
const (
	spareMemory      = 16 * MiB
	spareGoroutines  = 64
	spareDescriptors = 32
)

const (
	// callPause is between two calls of one application.
	callPause = 5 * time.Millisecond
	// leastCalls is how many each makes at least before an attack, and during it.
	leastCalls = 20
	// quiet is how long calls are watched at most before an attack.
	quiet = 10 * time.Second
	// soak is how long an attack lasts at least for times to be judged; a moment has too few calls, on a machine that runs other tests.
	soak = 30 * time.Second
	// slower is how many times as long the slowest percent of calls may take during an attack, and later what a machine that runs
	// other tests may add.
	slower, later = 3, 100 * time.Millisecond
	// back is within what time all that an attacker took is given back.
	back = 10 * time.Second
)

// attack is one against the victim.
type attack struct {
	name string
	// budget is how much memory the process may take more, in bytes, with what the attacker itself takes in it.
	budget uint64
	// share is how much of all cores the victim may take more; 0: it is not judged.
	share float64
	// begin returns when the attack is at its full strength, and a func that returns when the attacker has left, after ctx has ended.
	begin func(ctx context.Context, t *testing.T) (end func())
	// meanwhile is done over and over during the attack, thrice at least; nil: time passes.
	meanwhile func(t *testing.T)
}

// suffer runs an attack while applications make calls that have nothing to do with it. None may fail, the process keeps within the
// budget, and has no more than before when the attacker has left.
func (w *world) suffer(t *testing.T, a *attack) {
	t.Helper()
	before := w.watch(t, func() { pass(min(*attackFor, quiet)) })
	had := has()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	peak := watchMemory(t)
	during := w.watch(t, func() {
		as(ctx, attacking, func() {
			end := a.begin(ctx, t)
			for until, n := time.Now().Add(*attackFor), 0; n < 3 || time.Now().Before(until); n++ {
				if a.meanwhile == nil {
					pass(*attackFor / 3)
					continue
				}
				a.meanwhile(t)
			}
			cancel()
			end()
		})
	})
	left := time.Now()
	most := peak()
	var now having
	await(t, "all that the attacker took is given back", func() bool {
		now = has()
		return now.memory <= had.memory+spareMemory && now.goroutines <= had.goroutines+spareGoroutines &&
			now.descriptors <= had.descriptors+spareDescriptors
	})
	took := time.Since(left).Round(100 * time.Millisecond)

	t.Logf("| %s | %d, %d, %d MiB after %v (budget %d) | %d of %d calls failed | p99 %v, %v |", a.name,
		had.memory/MiB, most/MiB, now.memory/MiB, took, a.budget/MiB, len(before.failed)+len(during.failed), before.calls()+during.calls(),
		before.p99(), during.p99())
	if most > had.memory+a.budget {
		t.Errorf("%s: the process has %d MiB, %d before, and may take %d", a.name, most/MiB, had.memory/MiB, a.budget/MiB)
	}
	for _, failed := range [][]string{before.failed, during.failed} {
		if len(failed) > 0 {
			t.Errorf("%s: %d calls that nothing attacks failed: %.2000s", a.name, len(failed), strings.Join(failed, "; "))
		}
	}
	if *attackFor >= soak && took > back {
		t.Errorf("%s: what the attacker took was given back after %v", a.name, took)
	}
	if *attackFor >= soak {
		w.judge(t, a, before, during)
	}
	w.victim.log.check(t, "the log")
	w.victim.access.check(t, "the access log")
}

// judge looks at what an attack took of the cores. The attacker's own program takes some of them too, which it would not do on a machine of
// its own: calls may take longer than beside a program that takes as much and has nothing to do with the victim.
func (w *world) judge(t *testing.T, a *attack, before, during *seen) {
	t.Helper()
	inside, outside := during.cores[attacking]+during.cores[evil]+during.cores[guest], float64(w.outside)/float64(during.lasted)
	beside := w.watch(t, func() {
		defer w.run(t.Context(), t, "bystander", fmt.Sprint(outside))()
		ctx, cancel := context.WithTimeout(t.Context(), quiet)
		defer cancel()
		as(ctx, attacking, func() { burn(ctx, inside) })
	})
	t.Logf("| %s | p99 %v, beside such a program %v, %v | cores: the program %.2f, the victim %.2f, %.2f |", a.name,
		before.p99(), beside.p99(), during.p99(), inside+outside, before.cores[victim], during.cores[victim])
	t.Logf("before: %v; beside: %v; during: %v", before.cores, beside.cores, during.cores)
	if b, d := max(before.p99(), beside.p99()), during.p99(); d > slower*b+later {
		t.Errorf("%s: one of a hundred calls takes %v and more, %v before or beside a program with as much of the cores", a.name, d, b)
	}
	if n := float64(runtime.NumCPU()); a.share > 0 && during.cores[victim]-before.cores[victim] > a.share*n {
		t.Errorf("%s: it takes %.2f of %v cores from the victim", a.name, during.cores[victim]-before.cores[victim], n)
	}
}

// pass is time that passes.
func pass(d time.Duration) { <-time.After(d) }

// seen is what became of calls.
type seen struct {
	took   []time.Duration
	failed []string
	cores  cores
	lasted time.Duration
}

func (s *seen) calls() int { return len(s.took) + len(s.failed) }

// p99 is the time that all calls but one of a hundred take at most.
func (s *seen) p99() time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	slices.Sort(s.took)
	return s.took[len(s.took)*99/100].Round(100 * time.Microsecond)
}

// watch makes calls while do runs.
func (w *world) watch(t *testing.T, do func()) *seen {
	t.Helper()
	var all seen
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := make(chan struct{})
	began, used := time.Now(), watchCores()
	for _, at := range w.called {
		wg.Go(func() {
			ticker := time.NewTicker(callPause)
			defer ticker.Stop()
			for n := 0; ; n++ {
				select {
				case <-done:
					if n >= leastCalls {
						return
					}
				default:
				}
				var took time.Duration
				var err error
				as(t.Context(), applications, func() { took, err = ask(t, at) })
				mu.Lock()
				if err == nil {
					all.took = append(all.took, took)
				} else {
					all.failed = append(all.failed, fmt.Sprint(w.role(at), ": ", err))
				}
				mu.Unlock()
				<-ticker.C
			}
		})
	}
	do()
	close(done)
	wg.Wait()
	all.cores, all.lasted = used(), time.Since(began)
	return &all
}

// role says whose listener it is.
func (w *world) role(at netip.AddrPort) string {
	return []string{"the victim's own service", "the victim's, of the good peer", "the good peer's, of the victim"}[slices.Index(w.called, at)]
}

// having is what the process has.
type having struct {
	memory                  uint64
	goroutines, descriptors int
}

func has() having {
	runtime.GC()
	entries, _ := os.ReadDir("/proc/self/fd") // none where the system does not list them
	return having{memory(), runtime.NumGoroutine(), len(entries)}
}

// memory is what objects and stacks take, in bytes, with what is garbage since the last collection.
func memory() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() + s[1].Value.Uint64()
}

// watchMemory looks at the memory often, until the func that it returns is called, which returns the most.
func watchMemory(t *testing.T) (most func() uint64) {
	t.Helper()
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for most := memory(); ; most = max(most, memory()) {
			select {
			case <-ticker.C:
			case <-done:
				peak <- most
				return
			}
		}
	}()
	stop := sync.OnceValue(func() uint64 {
		close(done)
		return <-peak
	})
	t.Cleanup(func() { stop() })
	return stop
}
