package balance

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// answers is a policy that ejects for two errors in a row.
func answers(change func(*v1alpha1.OutlierDetection)) *v1alpha1.TrafficPolicySpec {
	p, two := outlier(3, 30*time.Second, 100), uint32(2)
	p.OutlierDetection.Consecutive5xxErrors = &two
	if change != nil {
		change(p.OutlierDetection)
	}
	return p
}

// request begins a request to that candidate.
func (b *bench) request(k Address) *Use {
	b.t.Helper()
	return b.begin(k, Caller{Cluster: "here", Locality: here, HTTP: true})
}

func (b *bench) begin(k Address, from Caller) *Use {
	b.t.Helper()
	all := b.table.Candidates(b.key, from)
	for i := range all {
		if all[i].Address == k {
			return all[i].Begin()
		}
	}
	b.t.Fatalf("no candidate %v", k)
	return nil
}

// answer is requests that get those answers, one after the other.
func (b *bench) answer(k Address, statuses ...int) {
	b.t.Helper()
	for _, s := range statuses {
		u := b.request(k)
		u.Answered(s)
		u.Done(Outcome{})
	}
}

func (b *bench) wantKind(k Address, kind Failure) {
	b.t.Helper()
	if _, _, h := b.get(k); h.Kind != kind {
		b.t.Errorf("%v is ejected for %v, want %v", k, h.Kind, kind)
	}
}

func TestEjectedForAnswers(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, answers(nil)), func(b *bench) {
		k := localKey(0)
		b.answer(k, 500, 404, 503)
		b.want(k, OK)
		b.answer(k, 500)
		b.want(k, Ejected)
		b.wantKind(k, ServerError)
		if _, _, h := b.get(k); h.Left != 30*time.Second || !h.last {
			t.Errorf("%+v", h)
		}
		b.succeed(k) // a connect proves nothing
		b.want(k, Ejected)
		b.answer(k, 502) // as last resort
		b.want(k, Ejected)
		b.answer(k, 200)
		b.want(k, Ramping)
		b.answer(k, 500) // no credit
		b.want(k, Ejected)
		if _, _, h := b.get(k); h.Left != time.Minute {
			t.Errorf("%+v", h)
		}
	})
}

// The answer to a request from before the ejection does not end it: many requests are under way while one after the other fails.
func TestLateAnswerReturnsNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, answers(nil)), func(b *bench) {
		k := localKey(0)
		early := b.request(k)
		b.answer(k, 500, 500)
		early.Answered(200)
		early.Done(Outcome{})
		b.want(k, Ejected)
	})
}

func TestReturnAfterEjectionForAnswers(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, answers(nil)), func(b *bench) {
		k := localKey(0)
		b.answer(k, 500, 500)
		b.probesGive(errors.New("refused"))
		bubble.Pass(32 * time.Second)
		b.wantKind(k, probeFailure)
		b.succeed(k) // it accepts again, and may still answer 500
		b.want(k, Ejected)
		b.probesGive(nil)
		bubble.Pass(61 * time.Second)
		b.want(k, Ramping)
		b.wantKind(k, probeFailure)
		b.answer(k, 200, 500) // it has its credit back
		b.want(k, Ramping)
		bubble.Pass(rampTime + time.Second)
		b.want(k, OK)
		b.wantKind(k, NoFailure)
	})
}

// A process that accepts and never answers is ejected, and not brought back by accepting.
func TestMissingAnswers(t *testing.T) {
	t.Parallel()
	for failure, name := range map[Failure]string{AnswerTimeout: "answer_timeout", BrokenAnswer: "broken_answer"} {
		inBubble(t, benchService(2, answers(nil)), func(b *bench) {
			k := localKey(0)
			for range 3 {
				b.want(k, OK)
				u := b.request(k)
				u.Accepted()
				u.Done(Outcome{Failure: failure})
			}
			b.wantKind(k, failure)
			b.succeed(k)
			b.want(k, Ejected)
			if got := b.table.Endpoints(echoName)[0]; got.EjectionKind != name || got.OutlierCheck != status.CheckFailed {
				t.Errorf("%+v", got)
			}
		})
	}
}

// An endpoint that was ejected for failed connects returns with a connect and not with an answer on an old connection.
func TestFailedConnectsOfRequests(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, answers(nil)), func(b *bench) {
		k := localKey(0)
		for range 3 {
			b.request(k).Done(Outcome{Failure: LocalFailure})
		}
		b.wantKind(k, LocalFailure)
		b.answer(k, 200)
		b.want(k, Ejected)
		u := b.request(k)
		u.Accepted()
		b.want(k, Ramping)
		u.Done(Outcome{})
	})
}

// splitExternalLocalOriginErrors: false is for requests only.
func TestNotSplit(t *testing.T) {
	t.Parallel()
	p := answers(func(o *v1alpha1.OutlierDetection) { o.SplitExternalLocalOriginErrors = new(bool) })
	inBubble(t, benchService(3, p), func(b *bench) {
		b.begin(localKey(0), Caller{Cluster: "here", Locality: here}).Done(Outcome{Failure: LocalFailure})
		b.begin(localKey(0), Caller{Cluster: "here", Locality: here}).Done(Outcome{Failure: LocalFailure})
		b.want(localKey(0), OK)
		b.begin(localKey(0), Caller{Cluster: "here", Locality: here}).Done(Outcome{Failure: LocalFailure})
		b.wantKind(localKey(0), LocalFailure)

		b.request(localKey(1)).Done(Outcome{Failure: LocalFailure})
		b.request(localKey(1)).Done(Outcome{Failure: AnswerTimeout})
		b.wantKind(localKey(1), ServerError)
	})
	inBubble(t, benchService(2, p, "a"), func(b *bench) {
		b.table.cfg.Peers = linked{}
		for _, f := range []Failure{AnswerTimeout, BrokenAnswer} { // of nothing but requests
			b.begin(localKey(0), Caller{Cluster: "here", Locality: here}).Done(Outcome{Failure: f})
		}
		b.wantKind(localKey(0), ServerError)
		b.request(Address{Peer: "a"}).Done(Outcome{Failure: PeerFailure})
		b.request(Address{Peer: "a"}).Done(Outcome{Failure: PeerFailure})
		b.wantKind(Address{Peer: "a"}, ServerError)
	})
}

// What cannot be ejected for its answers has to fail as often again.
func TestDetectedAndLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, answers(nil)), func(b *bench) {
		b.answer(localKey(0), 500, 500)
		b.answer(localKey(1), 500, 500) // the last one
		b.want(localKey(1), OK)
		b.answer(localKey(0), 200)
		b.answer(localKey(1), 500)
		b.want(localKey(1), OK)
		b.answer(localKey(1), 500)
		b.want(localKey(1), Ejected)
	})
}

func TestMaxEjectionTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ base, longest, want time.Duration }{
		"default":              {2 * time.Minute, 0, maxEjection},
		"a longer base":        {time.Hour, 0, time.Hour},
		"of the policy":        {time.Minute, 90 * time.Second, 90 * time.Second},
		"shorter than no base": {0, 10 * time.Second, defaultBaseEjection},
	} {
		p := outlier(1, tt.base, 100)
		if tt.longest != 0 {
			p.OutlierDetection.MaxEjectionTime = &metav1.Duration{Duration: tt.longest}
		}
		inBubble(t, benchService(2, p), func(b *bench) {
			k := localKey(0)
			for range 5 {
				b.fail(k, 1)
				b.succeed(k)
			}
			b.fail(k, 1)
			if _, _, h := b.get(k); h.Left != tt.want {
				t.Errorf("%s: ejected for %v, want %v", name, h.Left, tt.want)
			}
		})
	}
}

// While fewer than minHealthPercent are left, ejected ones are used like all others.
func TestMinHealthPercent(t *testing.T) {
	t.Parallel()
	const n = 4
	lasts := func(b *bench) (last int) {
		for i := range n {
			if _, _, h := b.get(localKey(i)); h.last {
				last++
			}
		}
		return last
	}
	with := func(percent int32) *v1alpha1.TrafficPolicySpec {
		return answers(func(o *v1alpha1.OutlierDetection) { o.MinHealthPercent = &percent })
	}
	inBubble(t, benchService(n, with(50)), func(b *bench) {
		b.answer(localKey(0), 500, 500)
		b.answer(localKey(1), 500, 500)
		if got := lasts(b); got != 2 { // half of them is not fewer than half
			t.Errorf("with two of four ejected %d are last", got)
		}
		b.answer(localKey(2), 500, 500)
		b.want(localKey(2), Ejected)
		if got := lasts(b); got != 0 {
			t.Errorf("with three of four ejected %d are last", got)
		}
		b.answer(localKey(2), 200) // not as last resort
		b.want(localKey(2), Ejected)
		b.table.Apply(benchService(n, with(25)))
		if got := lasts(b); got != 3 {
			t.Errorf("by the new policy %d are last", got)
		}
		b.table.Apply(benchService(n, with(50)))
		bubble.Pass(32 * time.Second)
		b.want(localKey(2), Ramping)
		if got := lasts(b); got != 0 {
			t.Errorf("%d are last", got)
		}
	})
}

// What returns, or leaves the catalog, changes what is left.
func TestMinHealthPercentOfMembers(t *testing.T) {
	t.Parallel()
	half := int32(50)
	p := answers(func(o *v1alpha1.OutlierDetection) { o.MinHealthPercent = &half })
	inBubble(t, benchService(4, p), func(b *bench) {
		b.answer(localKey(0), 500, 500)
		b.answer(localKey(1), 500, 500)
		b.table.Apply(benchService(3, p))
		if _, _, h := b.get(localKey(0)); h.last {
			t.Error("with one of three left it is still last")
		}
		b.table.Apply(benchService(4, p))
		if _, _, h := b.get(localKey(0)); !h.last {
			t.Error("with two of four left it is not last")
		}
		bubble.Pass(20 * time.Second)
		b.answer(localKey(2), 500, 500)
		if _, _, h := b.get(localKey(2)); h.last {
			t.Error("with one of four left it is last")
		}
		bubble.Pass(12 * time.Second)
		b.want(localKey(0), Ramping)
		if _, _, h := b.get(localKey(2)); !h.last {
			t.Error("with the others back it is not last")
		}
	})
}

func TestFailurePercentage(t *testing.T) {
	t.Parallel()
	const n = failurePercentageHosts
	p := answers(func(o *v1alpha1.OutlierDetection) {
		off, threshold := uint32(0), uint32(50)
		o.Consecutive5xxErrors, o.FailurePercentageThreshold = &off, &threshold
		o.Interval = &metav1.Duration{Duration: 10 * time.Second}
	})
	// serve lets all endpoints answer so many requests, and the bad ones as many more with an error.
	serve := func(b *bench, requests int, bad ...int) {
		for i := range n {
			b.answer(localKey(i), slices.Repeat([]int{200}, requests)...)
		}
		for _, i := range bad {
			b.answer(localKey(i), slices.Repeat([]int{503}, requests)...)
		}
	}
	sweep := 11 * time.Second
	inBubble(t, benchService(n, p), func(b *bench) {
		serve(b, failurePercentageVolume*3/5, 0)
		bubble.Pass(sweep)
		serve(b, failurePercentageVolume*3/5, 0) // each interval is judged by itself
		bubble.Pass(sweep)
		b.want(localKey(0), OK)

		serve(b, failurePercentageVolume, 0)
		b.want(localKey(0), OK) // not before the sweep
		bubble.Pass(sweep)
		b.want(localKey(0), Ejected)
		b.wantKind(localKey(0), failurePercentage)
		b.want(localKey(1), OK)
		b.succeed(localKey(0))
		b.want(localKey(0), Ejected)

		serve(b, failurePercentageVolume, 1) // the first answer brings back the ejected one, too late for as many answers
		b.want(localKey(0), Ramping)
	})
	inBubble(t, benchService(n, p), func(b *bench) { // the share of what is out already ejects it no second time
		serve(b, failurePercentageVolume, 0)
		b.fail(localKey(0), 3)
		bubble.Pass(sweep)
		if _, target, _ := b.get(localKey(0)); target.ejections != 1 {
			t.Errorf("ejected %d times", target.ejections)
		}
	})
	inBubble(t, benchService(n, p), func(b *bench) {
		serve(b, failurePercentageVolume, 0, 1, 2, 3, 4)
		bubble.Pass(sweep)
		if b.count.ejected != n-1 {
			t.Errorf("%d are ejected, want all but one", b.count.ejected)
		}
	})
}

// Without failurePercentageThreshold good answers leave nothing to sweep.
func TestGoodAnswersNeedNoSweep(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, nil), func(b *bench) {
		b.answer(localKey(0), 200, 404)
		if g, _, _ := b.get(localKey(0)); !g.nextSweep.IsZero() {
			t.Error("a sweep is due")
		}
	})
}

// A failure that does not count needs no sweep either, even if others counted under another policy.
func TestWhatIsOffNeedsNoSweep(t *testing.T) {
	t.Parallel()
	inBubble(t, benchService(2, outlier(3, time.Minute, 100)), func(b *bench) {
		b.fail(localKey(0), 2)
		b.table.Apply(benchService(2, outlier(0, time.Minute, 100)))
		bubble.Pass(2 * time.Second)
		b.fail(localKey(0), 1)
		if g, _, _ := b.get(localKey(0)); !g.nextSweep.IsZero() {
			t.Error("a sweep is due")
		}
	})
}

// What a policy does not name has its default, and the deprecated consecutiveErrors means what it once meant.
func TestThresholdsOf(t *testing.T) {
	t.Parallel()
	n := func(v uint32) *uint32 { return &v }
	for name, tt := range map[string]struct {
		fields v1alpha1.OutlierDetection
		want   [5]uint32 // local origin, 5xx, gateway errors, percentage, not split
	}{
		"defaults":                {v1alpha1.OutlierDetection{}, [5]uint32{3, 5, 0, 0, 0}},
		"off":                     {v1alpha1.OutlierDetection{Consecutive5xxErrors: n(0)}, [5]uint32{3, 0, 0, 0, 0}},
		"gateway errors":          {v1alpha1.OutlierDetection{ConsecutiveGatewayErrors: n(2)}, [5]uint32{3, 5, 2, 0, 0}},
		"deprecated":              {v1alpha1.OutlierDetection{ConsecutiveErrors: n(7)}, [5]uint32{3, 0, 7, 0, 0}},
		"deprecated, with 5xx":    {v1alpha1.OutlierDetection{ConsecutiveErrors: n(7), Consecutive5xxErrors: n(9)}, [5]uint32{3, 9, 7, 0, 0}},
		"deprecated, with others": {v1alpha1.OutlierDetection{ConsecutiveErrors: n(7), ConsecutiveGatewayErrors: n(2)}, [5]uint32{3, 0, 2, 0, 0}},
		"percentage":              {v1alpha1.OutlierDetection{FailurePercentageThreshold: n(85)}, [5]uint32{3, 5, 0, 85, 0}},
		"not split":               {v1alpha1.OutlierDetection{SplitExternalLocalOriginErrors: new(bool)}, [5]uint32{3, 5, 0, 0, 1}},
	} {
		th := policyOf("here", &discovery.Service{Policy: &v1alpha1.TrafficPolicySpec{OutlierDetection: &tt.fields}}, servicePort).thresholds
		got := [5]uint32{th.consecutive, th.serverErrors, th.gatewayErrors, th.failurePercentage}
		if th.unsplit {
			got[4] = 1
		}
		if got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	th := thresholdsOf(&v1alpha1.OutlierDetection{OutlierDetectionHTTPErrorCodes: []uint32{http.StatusTooManyRequests}})
	if th.judge(http.StatusTooManyRequests) != ServerError || th.judge(http.StatusInternalServerError) != NoFailure {
		t.Error("the listed statuses are not the errors")
	}
}
