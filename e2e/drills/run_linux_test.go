package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/internal/journal"
)

// drill is one scenario under load.
type drill struct {
	stage
	*testing.T
	name    string
	id      string                  // begins the IDs of all requests
	rec     journal.Journal[record] // in the order in which the requests ended
	phases  []phase
	loaders []place
	reading sync.WaitGroup
	// excuse says why a failure had to be; "": it had not.
	excuse func(*record) string
	notes  []string
	// watched is the application whose answers are counted; empty: mockb. today is what others publish of such a drill.
	watched, today string
	lost           map[string]bool // zones whose loaders are lost on purpose

	mu       sync.Mutex
	tapped   map[string]bool                // pods whose executions are read
	executed map[string]map[string][]string // connections to pods by service by request
}

// plan is the load of one zone.
type plan func(c, other *site, zone string) load.Config

// Load of the drills as a whole; each of the four zones makes a quarter of it.
const (
	zones = 4
	// callRate is per second. Each call of the chain makes three connections to services that Eastway answers for. It leaves a
	// computer of two cores room for the restarts of pods.
	callRate    = 100
	streamCount = 100
	// longStreams last so many seconds; drainTime of proxies lets them come to their end.
	longStreams = 60
	drainTime   = "proxy.drain.timeoutSeconds=60"
	// credentials are those of what is outside; the second cluster has no such Secret.
	credentials = "proxy.externalCredentials={" + outsideSecret + "}"
)

// usual load: calls of the chain, and streams, half of which cross.
func usual(_, other *site, _ string) load.Config {
	return load.Config{
		Calls: []load.Calls{
			{URL: chainURL, Rate: callRate / zones},
			{URL: "http://" + other.soloHost() + ":8000/", Rate: 2},
		},
		Streams: []load.Streams{
			{Address: "mocka:8001", Count: streamCount / zones / 2, Seconds: other.streamSeconds},
			{Address: other.soloHost() + ":8001", Count: streamCount/zones - streamCount/zones/2, Seconds: other.streamSeconds},
		},
	}
}

// begin a drill: the load runs when it returns, and the first phase has begun.
func begin(s stage, t *testing.T, name string, p plan) *drill {
	t.Helper()
	d := &drill{
		stage: s, T: t, name: name, id: fmt.Sprintf("%x", time.Now().UnixMilli()),
		lost: make(map[string]bool), tapped: make(map[string]bool), executed: make(map[string]map[string][]string),
	}
	ctx := t.Context()
	t.Cleanup(func() {
		if t.Failed() {
			s.explain(t)
		}
	})
	t.Cleanup(func() { d.stop() }) // also when the drill fails early
	_ = os.RemoveAll(d.logDir())   // of an earlier run
	d.must(s.settle(ctx))
	both := s.sites()
	for i, c := range both {
		d.must(awaitAnswers(ctx, s, c, chainURL, "http://"+both[1-i].soloHost()+":8000/"))
	}
	for i, c := range both {
		d.must(s.rolledOut(ctx, c))
		loaders, err := s.running(ctx, c, "load")
		d.must(err)
		for _, l := range loaders {
			config := p(c, both[1-i], l.zone)
			config.Name = d.id + "-" + l.zone
			body, err := json.Marshal(config)
			d.must(err)
			d.must(l.ask(ctx, "-X", "POST", "-d", string(body), "/load"))
			d.loaders = append(d.loaders, l)
			d.tap(l)
		}
	}
	d.follow()
	return d
}

func (d *drill) home() *site { return d.sites()[0] }
func (d *drill) away() *site { return d.sites()[1] }

func (d *drill) zones() []string { return slices.Concat(d.home().Zones, d.away().Zones) }

func (d *drill) must(err error) {
	d.Helper()
	if err != nil {
		complain(d.T, err)
		d.FailNow()
	}
}

// tap a loader's records.
func (d *drill) tap(l place) {
	ctx := d.Context()
	d.reading.Go(func() {
		err := read(ctx, l, "/records", func(r load.Record) { d.rec.Add(newRecord(l.zone, r)) })
		if err != nil && !d.lost[l.zone] {
			d.Errorf("read the records of %s: %v", l.name, err)
		}
	})
}

// follow the executions of all applications that run now. What they did before
// is read, too, so it is enough to call it after each change.
func (d *drill) follow() {
	d.Helper()
	ctx := d.Context()
	for _, c := range d.sites() {
		for _, app := range []string{"mocka", "mockb", "mockc", c.solo()} {
			pods, err := d.running(ctx, c, app)
			d.must(err)
			for _, p := range pods {
				if d.tapped[c.Name+p.name] {
					continue
				}
				d.tapped[c.Name+p.name] = true
				go func() { // for as long as the pod lives: it may be after the drill
					_ = read(ctx, p, "/executions", func(e chain.Execution) { d.execute(app, p.name, e) })
				}()
			}
		}
	}
}

func (d *drill) execute(app, pod string, e chain.Execution) {
	if !strings.HasPrefix(e.ID, d.id) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.executed[e.ID] == nil {
		d.executed[e.ID] = make(map[string][]string)
	}
	d.executed[e.ID][app] = append(d.executed[e.ID][app], e.Caller+" to "+pod)
}

func (d *drill) logDir() string {
	return filepath.Join(d.folder(), "logs", strings.ReplaceAll(d.name, " ", "-"))
}

// phase begins.
func (d *drill) phase(name string) {
	d.keepLogs(d.logDir())
	d.phases = append(d.phases, phase{name: name, begun: time.Now()})
	fmt.Fprintf(progress(d.T), "== %s %s: %s\n", d.name, d.where(), name)
}

// look for the first answer, from now on, that shows an effect.
func (d *drill) look(effect func(*record) bool) {
	p := &d.phases[len(d.phases)-1]
	p.fault, p.effect = time.Now(), effect
}

// await a condition of the calls that begin from now on.
func (d *drill) await(what string, condition func([]record) bool) {
	d.Helper()
	d.awaitFrom(time.Now(), what, condition)
}

func (d *drill) awaitFrom(from time.Time, what string, condition func([]record) bool) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), patience)
	defer cancel()
	if err := d.rec.Await(ctx, func(r *record) bool { return !r.Start.Before(from) }, condition); err != nil {
		d.Errorf("it did not happen that %s: %v", what, err)
	}
}

// stop the load, and return when each request has ended.
func (d *drill) stop() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.Context()), endPatience)
	defer cancel()
	var stopping sync.WaitGroup
	for _, l := range d.loaders {
		stopping.Go(func() {
			if err := l.ask(ctx, "-X", http.MethodDelete, "/load"); err != nil && !d.lost[l.zone] {
				d.Errorf("end the load: %v", err)
			}
		})
	}
	stopping.Wait()
}

// end the load and report.
func (d *drill) end() *report {
	d.Helper()
	ended := time.Now()
	d.stop()
	d.reading.Wait()
	d.keepLogs(d.logDir())
	d.mu.Lock()
	defer d.mu.Unlock()
	r := (&evidence{
		drill: d.name, where: d.where(), phases: d.phases, end: ended, records: d.rec.All(), executed: d.executed, excuse: d.excuse, notes: d.notes,
		watched: d.watched, today: d.today,
	}).report()
	fmt.Fprintln(progress(d.T), &r)
	if err := r.write(d.folder()); err != nil {
		d.Error(err)
	}
	if len(r.Failure) > 0 || r.Total.Twice > 0 {
		d.Errorf("%d calls and streams failed, %d calls were executed twice\n%s", len(r.Failure), r.Total.Twice, &r)
	}
	if !d.Failed() {
		_ = os.RemoveAll(d.logDir())
	}
	return &r
}
