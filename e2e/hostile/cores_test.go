package hostile

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Who takes time of the cores, beside the clusters by their names: what attacks, and what makes and answers the calls.
const (
	who          = "who"
	attacking    = "attacker"
	applications = "applications"
)

// as makes what do does, and the goroutines that it starts, count as that one's.
func as(ctx context.Context, name string, do func()) {
	pprof.Do(ctx, pprof.Labels(who, name), func(context.Context) { do() })
}

// cores are how many were busy on average, by who kept them so; "" is the runtime.
type cores map[string]float64

func (c cores) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		all = append(all, fmt.Sprintf("%s %.2f", cmp.Or(name, "runtime"), c[name]))
	}
	return strings.Join(all, ", ")
}

// watchCores looks who takes time of the cores until the func that it returns is called. Where another profile is written it sees nothing.
func watchCores() (used func() cores) {
	var profile bytes.Buffer
	if pprof.StartCPUProfile(&profile) != nil {
		return func() cores { return nil }
	}
	began := time.Now()
	return func() cores {
		pprof.StopCPUProfile()
		all := cores{}
		for name, took := range readProfile(profile.Bytes()) {
			all[name] = float64(took) / float64(time.Since(began))
		}
		return all
	}
}

// readProfile adds up the time by the label of the samples (pprof's profile.proto).
func readProfile(zipped []byte) map[string]time.Duration {
	z, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(z)
	const sample, texts, value, label, key, text = 2, 6, 2, 3, 1, 2
	var table []string
	fields(b, texts, func(_ uint64, s []byte) { table = append(table, string(s)) })
	took := map[string]time.Duration{}
	fields(b, sample, func(_ uint64, s []byte) {
		name := ""
		fields(s, label, func(_ uint64, l []byte) {
			var k, v uint64
			fields(l, key, func(n uint64, _ []byte) { k = n })
			fields(l, text, func(n uint64, _ []byte) { v = n })
			if table[k] == who {
				name = table[v]
			}
		})
		var last uint64                                         // after the number of samples, nanoseconds
		fields(s, value, func(n uint64, _ []byte) { last = n }) // not packed, since they are two
		took[name] += time.Duration(last)
	})
	return took
}

// fields calls do for each field of a message that has the number.
func fields(b []byte, number protowire.Number, do func(n uint64, s []byte)) {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		var v uint64
		var s []byte
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			s, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return
		}
		if b = b[n:]; num == number {
			do(v, s)
		}
	}
}

// burn keeps so many cores busy on average until ctx ends, in short bursts, as a program does that has to do with nothing else here.
func burn(ctx context.Context, busy float64) {
	const bursts = 8
	var wg sync.WaitGroup
	defer wg.Wait()
	each := min(busy, float64(runtime.NumCPU())) / bursts
	for range bursts {
		wg.Go(func() {
			ticker := time.NewTicker(time.Millisecond)
			defer ticker.Stop()
			var used time.Duration
			for began := time.Now(); ctx.Err() == nil; <-ticker.C {
				due := time.Duration(each * float64(time.Since(began)))
				from := time.Now()
				for used+time.Since(from) < due {
				}
				used += time.Since(from)
			}
		})
	}
}

// The time of the cores is found by who takes it.
func TestCores(t *testing.T) { //nolint:paralleltest // it measures the process
	used := watchCores()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	as(ctx, attacking, func() { burn(ctx, 0.5) })
	if got := used(); got != nil && (got[attacking] == 0 || got[victim] != 0) {
		t.Errorf("%v", got)
	}
}
