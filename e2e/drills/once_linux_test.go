package drills

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/e2e/verdict"
)

// Of manifests/once.yaml.
const (
	nearURL = "http://near:8000/"
	farURL  = "http://far." + namespace + ".svc.clusterset.local:8000/"
	// onceRate of each URL and zone, per second: GETs and POSTs alternately.
	onceRate = 60
	// enoughCalls of the whole drill.
	enoughCalls = 20_000
	// stopTime is how long a process is stopped: longer than until a peer is suspect, shorter than until it is dead.
	stopTime = 2 * time.Second
)

// atMostOnce sends GETs and POSTs with unique IDs through faults of the other cluster's applications and proxies, of which one at a time
// is hit, and at last of a caller's proxy. No POST is executed twice, and no GET fails, but by the end of its caller's proxy.
func atMostOnce(w *world, t *testing.T) {
	records := w.deployOnce(t)
	d := w.begin(t, "at most once", func(c, _ *site, _ string) load.Config {
		if c != w.home().site {
			return load.Config{}
		}
		return load.Config{Calls: []load.Calls{{URL: nearURL, Rate: onceRate}, {URL: farURL, Rate: onceRate}}}
	})
	d.watched = "near"
	all := lastTo(someCalls, d.home().Zones, []string{nearURL, farURL}, (*record).ok)

	d.phase("healthy")
	d.await("all calls are answered", all)
	var outages []verdict.Outage
	for _, f := range onceFaults() {
		d.phase(f.name)
		out, err := f.run(d, w)
		d.must(err)
		outages = append(outages, out...)
		d.must(w.settled(t.Context()))
		d.must(w.away().awaitDeployments(t.Context()))
		d.await("all calls are answered", all)
	}
	d.phase("over")
	d.awaitFrom(d.phases[0].begun, "enough calls", func(all []record) bool { return len(all) >= enoughCalls })
	d.stop()
	d.reading.Wait()
	d.judge(records, outages)
	d.end()
}

// deployOnce into both clusters until the test ends. It returns the folder with the records.
func (w *world) deployOnce(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(w.dir, "once")
	for _, err := range []error{os.RemoveAll(dir), os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o777)} { // pods are other users
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range w.sites() {
		apps := []string{"near", "far"}[:1+i]
		for _, app := range apps {
			removeAtEnd(w, t, c, app, app+"-"+c.Zones[0], app+"-"+c.Zones[1])
		}
		values := map[string]any{"Image": mockImage, "Apps": apps, "Zones": c.Zones, "Record": dir}
		if err := w.apply(t.Context(), c, "once.yaml", values); err != nil {
			t.Fatal(err)
		}
	}
	if err := awaitAnswers(t.Context(), w, w.home().site, nearURL, farURL); err != nil {
		t.Fatal(err)
	}
	return dir
}

// onceFault hits something of the other cluster; it returns what of the callers' own proxies was not there meanwhile.
type onceFault struct {
	name string
	run  func(d *drill, w *world) ([]verdict.Outage, error)
}

func onceFaults() []onceFault {
	away := func(run func(d *drill, c *cluster) error) func(*drill, *world) ([]verdict.Outage, error) {
		return func(d *drill, w *world) ([]verdict.Outage, error) { return nil, run(d, w.away()) }
	}
	return []onceFault{
		{"application stopped", away(func(d *drill, c *cluster) error {
			for _, zone := range c.Zones { // one after the other
				if err := c.signalApp(d.Context(), "far", zone, syscall.SIGSTOP, syscall.SIGCONT); err != nil {
					return err
				}
			}
			return nil
		})},
		{"application killed", away(func(d *drill, c *cluster) error {
			return c.signalApp(d.Context(), "far", c.Zones[1], syscall.SIGKILL)
		})},
		{"policies edited", away(func(d *drill, _ *cluster) error { return d.editPolicies(d.Context()) })},
		{"proxy stopped", away(func(d *drill, c *cluster) error {
			return c.signalProxy(d.Context(), c.Zones[0], syscall.SIGSTOP, syscall.SIGCONT)
		})},
		{"proxy killed", away(func(d *drill, c *cluster) error { return c.signalProxy(d.Context(), c.Zones[1], syscall.SIGKILL) })},
		{"application answers 503", away(func(d *drill, c *cluster) error {
			d.setMode(c.site, "fail", "far-"+c.Zones[1])
			d.setMode(c.site, "serve", "far-"+c.Zones[1])
			return nil
		})},
		{"proxy deleted", away(func(d *drill, c *cluster) error { return c.deleteProxy(d.Context(), c.Zones[0]) })},
		{"applications replaced", away(func(d *drill, c *cluster) error {
			args := []string{"-n", namespace, "rollout", "restart", "deployment/far-" + c.Zones[0], "deployment/near-" + c.Zones[0]}
			if out, err := c.Kubectl(d.Context(), args...).CombinedOutput(); err != nil {
				return fmt.Errorf("rollout restart: %w: %s", err, out)
			}
			return nil
		})},
		{"caller's proxy killed", func(d *drill, w *world) ([]verdict.Outage, error) {
			from := time.Now()
			err := w.home().signalProxy(d.Context(), w.home().Zones[0], syscall.SIGKILL)
			return []verdict.Outage{{Entry: 0, From: from, To: time.Now().Add(noticeTime)}}, err
		}},
	}
}

func (c *cluster) signalApp(ctx context.Context, app, zone string, signals ...syscall.Signal) error {
	pods, err := c.pods(ctx, "", app)
	if err != nil {
		return err
	}
	for _, p := range pods {
		if p.zone == zone {
			return c.signalContainer(ctx, namespace, p.name, "mock", signals...)
		}
	}
	return fmt.Errorf("%s has no %s in %s", c.Name, app, zone)
}

func (c *cluster) signalProxy(ctx context.Context, zone string, signals ...syscall.Signal) error {
	pod, err := c.pod(ctx, "proxy", zone)
	if err != nil {
		return err
	}
	return c.signalContainer(ctx, install.Namespace, pod.Name, "proxy", signals...)
}

// signalContainer sends one signal after the other, stopTime apart.
func (c *cluster) signalContainer(ctx context.Context, space, pod, container string, signals ...syscall.Signal) error {
	for i, s := range signals {
		if i > 0 {
			pause := time.NewTimer(stopTime)
			<-pause.C
		}
		if err := c.SignalContainer(ctx, space, pod, container, s); err != nil {
			return err
		}
	}
	return nil
}

// deleteProxy without any grace.
func (c *cluster) deleteProxy(ctx context.Context, zone string) error {
	pod, err := c.pod(ctx, "proxy", zone)
	if err != nil {
		return err
	}
	out, err := c.Kubectl(ctx, "-n", install.Namespace, "delete", "pod", pod.Name, "--grace-period=0", "--force").CombinedOutput()
	if err != nil {
		return fmt.Errorf("delete %s: %w: %s", pod.Name, err, out)
	}
	return nil
}

// editPolicies of both services, where calls come from and where they go.
func (d *drill) editPolicies(ctx context.Context) error {
	for _, simple := range []string{"RANDOM", "ROUND_ROBIN", "LEAST_REQUEST"} {
		for i, c := range d.sites() {
			for _, name := range []string{"near", "far"}[:1+i] {
				err := d.setPolicy(ctx, c, name, func(p *v1alpha1.TrafficPolicySpec) { p.LoadBalancer = &v1alpha1.LoadBalancer{Simple: simple} })
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// judge what became of the calls that failed, by what the applications have recorded, and look for each answer's execution.
func (d *drill) judge(dir string, outages []verdict.Outage) {
	d.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	d.must(err)
	executed := make(map[string][]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		d.must(err)
		for id := range strings.Lines(string(text)) {
			executed[strings.TrimSpace(id)] = append(executed[strings.TrimSpace(id)], filepath.Base(file))
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	repeated, counts, verdicts := 0, make(map[string]int), make(map[string]verdict.Verdict)
	all := d.rec.All()
	for i := range all {
		r := &all[i]
		d.executed[r.ID] = map[string][]string{"recorded": executed[r.ID]}
		switch {
		case !r.ok():
			call := callOf(r, slices.Index(d.home().Zones, r.zone))
			verdicts[r.ID] = call.Judge(len(executed[r.ID]), outages)
			counts[r.Method+" "+string(verdicts[r.ID])]++
		case len(executed[r.ID]) == 0:
			d.Errorf("%s %s: %s", r.Method, r.ID, verdict.Vanished)
		}
		if r.Method == http.MethodGet && len(executed[r.ID]) > 1 {
			repeated++
		}
	}
	d.excuse = func(r *record) string {
		if v := verdicts[r.ID]; !v.Violation() {
			return string(v)
		}
		return ""
	}
	d.notes = append(d.notes, fmt.Sprintf("%d GETs were executed more than once", repeated))
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		d.notes = append(d.notes, fmt.Sprintf("%d %s", counts[what], what))
	}
}

// callOf a record that failed, through the proxy of that zone.
func callOf(r *record, entry int) verdict.Call {
	c := verdict.Call{Post: r.Method == http.MethodPost, Entry: entry, Start: r.Start, End: r.End, Err: r.Error}
	switch found := regexp.MustCompile(`: status (\d+): (?:eastway: )?(.*)$`).FindStringSubmatch(r.Error); {
	case found != nil:
		c.Status, _ = strconv.Atoi(found[1])
		c.Reason, c.Broken = found[2], strings.HasSuffix(found[2], ": broken")
	case strings.Contains(r.Error, "the answer broke off"):
		c.Status = http.StatusOK
	}
	return c
}

func TestCallOf(t *testing.T) {
	t.Parallel()
	const before = "call http://near:8000/ from 10.0.0.1:1: "
	for text, want := range map[string]verdict.Call{
		"status 503: eastway: unknown-outcome":         {Status: 503, Reason: "unknown-outcome"},
		"status 503: far(ap-northeast-1a): broken":     {Status: 503, Reason: "far(ap-northeast-1a): broken", Broken: true},
		"the answer broke off: unexpected EOF":         {Status: 200},
		"read tcp: connection reset by peer":           {},
		"status 504: eastway: timeout":                 {Status: 504, Reason: "timeout"},
		"status 503: eastway: no-endpoint, more to it": {Status: 503, Reason: "no-endpoint, more to it"},
	} {
		r := &record{Record: load.Record{Method: http.MethodPost, Error: before + text}}
		want.Post, want.Err, want.Entry = true, r.Error, 1
		if got := callOf(r, 1); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestJudgeRecords(t *testing.T) {
	t.Parallel()
	d := &drill{
		T: t, stage: &files{clusters: []*fileCluster{{site: &site{Zones: []string{"a", "b"}}}, {site: &site{}}}},
		executed: make(map[string]map[string][]string),
	}
	killed := time.Now()
	add := func(id, method, zone, failure string, start time.Time) *record {
		r := &record{zone: zone}
		r.Record = load.Record{Kind: load.KindCall, ID: id, Method: method, Error: failure, Start: start, End: start.Add(time.Second)}
		d.rec.Add(*r)
		return r
	}
	const unknown = "call: status 503: eastway: unknown-outcome"
	records := map[*record]string{
		add("1", http.MethodPost, "b", unknown, killed):                         string(verdict.Unknown),
		add("2", http.MethodPost, "b", unknown, killed):                         "", // executed twice
		add("3", http.MethodGet, "b", unknown, killed):                          "", // could have been repeated
		add("4", http.MethodGet, "a", "call: connection reset", killed):         string(verdict.EntryKilled),
		add("5", http.MethodGet, "a", "call: reset", killed.Add(2*time.Second)): "",
	}
	add("6", http.MethodPost, "a", "", killed)
	add("7", http.MethodGet, "a", "", killed)
	dir := t.TempDir()
	for name, text := range map[string]string{"far-1": "1\n2\n6\n7\n", "far-2": "2\n7\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.judge(dir, []verdict.Outage{{Entry: 0, From: killed, To: killed.Add(time.Second)}})
	for r, want := range records {
		if got := d.excuse(r); got != want {
			t.Errorf("%s: %q, want %q", r.ID, got, want)
		}
	}
	if e := (&evidence{executed: d.executed}); !e.twice(&record{Record: load.Record{ID: "2", Method: http.MethodPost}}) ||
		e.twice(&record{Record: load.Record{ID: "6", Method: http.MethodPost}}) {
		t.Error("executions are not counted")
	}
	if !slices.Contains(d.notes, "1 GETs were executed more than once") || !slices.Contains(d.notes, "1 POST "+string(verdict.Unknown)) {
		t.Errorf("notes: %q", d.notes)
	}
}
