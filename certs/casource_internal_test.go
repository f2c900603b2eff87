package certs

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/bubble"
)

// running is a CASource whose Run is under way in a synctest bubble.
type running struct {
	*CASource
	logs *observer.ObservedLogs
	// fail makes renewals fail.
	fail atomic.Bool
	// ahead is how far the wall clock was set forward, in nanoseconds.
	ahead atomic.Int64
}

func runSource(t *testing.T, ttl time.Duration) *running {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	r := &running{logs: logs}
	now := func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }
	ca, err := NewCA(Options{TrustDomain: spiffeid.RequireTrustDomainFromString("a.test"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewCASource(CASourceConfig{CA: ca, Name: "cluster-a", TTL: ttl, Log: zap.New(core), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	issue := s.issue
	s.issue = func(ca *CA) (*x509svid.SVID, error) {
		if r.fail.Load() {
			return nil, errors.New("no entropy")
		}
		return issue(ca)
	}
	r.CASource = s
	runFor(t, s.Run)
	return r
}

func (r *running) after(d time.Duration) *x509svid.SVID {
	bubble.Pass(d)
	return r.svid.Load()
}

func TestRenewalAtHalfLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := runSource(t, 24*time.Hour)
		first := r.svid.Load()
		if got := r.after(9*time.Hour + 30*time.Minute); got != first {
			t.Error("renewed long before half of its life")
		}
		second := r.after(5 * time.Hour) // 14h30m: half and the jitter are over
		if second == first {
			t.Fatal("not renewed after half of its life")
		}
		if want := first.Certificates[0].NotAfter; !second.Certificates[0].NotAfter.After(want) {
			t.Errorf("the new one expires %s", second.Certificates[0].NotAfter)
		}
		for range 30 {
			if got := r.after(24 * time.Hour); time.Now().After(got.Certificates[0].NotAfter) {
				t.Fatal("expired while Run was running")
			}
		}
		if got := testutil.ToFloat64(r.metrics.svidExpiry); got != float64(r.svid.Load().Certificates[0].NotAfter.Unix()) {
			t.Errorf("metric says that it expires at %v", got)
		}
		if got := testutil.ToFloat64(r.metrics.renewals.WithLabelValues("success")); got < 50 {
			t.Errorf("%v renewals counted in a month", got)
		}
	})
}

func TestRenewalIsSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		low, high := time.Duration(1<<62), time.Duration(0)
		for range 100 {
			s := &CASource{now: time.Now, metrics: &sourceMetrics{svidExpiry: prometheus.NewGauge(prometheus.GaugeOpts{})}}
			ca, err := NewCA(Options{TrustDomain: spiffeid.RequireTrustDomainFromString("a.test")})
			if err != nil {
				t.Fatal(err)
			}
			svid, err := ca.Issue("cluster-a", 10*time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			s.use(svid)
			wait := time.Until(s.next)
			low, high = min(low, wait), max(high, wait)
		}
		if low < 4*time.Hour || high > 6*time.Hour || high-low < time.Hour {
			t.Errorf("renewals of 10 hours' life fall between %s and %s", low, high)
		}
	})
}

func TestFailedRenewalKeepsTheOldOneAndRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := runSource(t, 24*time.Hour)
		first := r.svid.Load()
		r.fail.Store(true)
		if got := r.after(20 * time.Hour); got != first {
			t.Fatal("the old one is gone")
		}
		// From about half of its life, at most every 4 and at least every 6 minutes once the backoff is at its end.
		failed := int(testutil.ToFloat64(r.metrics.renewals.WithLabelValues("failure")))
		if failed < 5*10 || failed > 11*15+15 {
			t.Errorf("%d attempts in 8 hours", failed)
		}
		logged := r.logs.FilterMessageSnippet("renewal failed").All()
		if len(logged) != failed || logged[0].Level != zap.ErrorLevel {
			t.Errorf("%d lines for %d failures", len(logged), failed)
		}
		r.fail.Store(false)
		if got := r.after(retryMax + retryMax/4); got == first {
			t.Error("not renewed after the cause was gone")
		}
	})
}

func TestClockThatIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := runSource(t, 24*time.Hour)
		first := r.svid.Load()
		r.ahead.Store(int64(20 * time.Hour)) // the machine slept, or its clock was set
		second := r.after(clockCheck + time.Second)
		if second == first {
			t.Fatal("not renewed when the clock jumped ahead")
		}
		r.ahead.Store(0) // and back: second is valid from 20 hours later
		third := r.after(clockCheck + time.Second)
		if third == second {
			t.Fatal("not renewed when the clock was set back")
		}
		if !third.Certificates[0].NotBefore.Before(time.Now()) {
			t.Error("still not valid")
		}
	})
}

func TestCASourceConfigValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []CASourceConfig{{}, {CA: &CA{}}, {CA: &CA{}, Name: "A"}, {CA: &CA{}, Name: "a", TTL: 1}} {
		if _, err := NewCASource(c); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}
