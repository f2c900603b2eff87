package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/journal"
)

// drill is one scenario under load.
type drill struct {
	*world
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
type plan func(c, other *cluster, zone string) load.Config

// Load of the drills as a whole; each of the four zones makes a quarter of it.
const (
	zones = 4
	// callRate is per second. Each call of the chain makes three connections to services that Eastway answers for. It leaves a
	// computer of two cores room for the restarts of pods.
	callRate      = 100
	streamCount   = 100
	streamSeconds = 60
	// drainTime of proxies lets streams that long come to their end.
	drainTime = "proxy.drain.timeoutSeconds=60"
)

// usual load: calls of the chain, and streams, half of which cross.
func usual(_, other *cluster, _ string) load.Config {
	return load.Config{
		Calls: []load.Calls{
			{URL: chainURL, Rate: callRate / zones},
			{URL: "http://" + other.soloHost() + ":8000/", Rate: 2},
		},
		Streams: []load.Streams{
			{Address: "mocka:8001", Count: streamCount / zones / 2, Seconds: streamSeconds},
			{Address: other.soloHost() + ":8001", Count: streamCount/zones - streamCount/zones/2, Seconds: streamSeconds},
		},
	}
}

// begin a drill: the load runs when it returns, and the first phase has begun.
func (w *world) begin(t *testing.T, name string, p plan) *drill {
	t.Helper()
	d := &drill{
		world: w, T: t, name: name, id: fmt.Sprintf("%x", time.Now().UnixMilli()),
		lost: make(map[string]bool), tapped: make(map[string]bool), executed: make(map[string]map[string][]string),
	}
	ctx := t.Context()
	t.Cleanup(func() {
		if t.Failed() {
			w.explain(t)
		}
	})
	t.Cleanup(func() { d.stop() }) // also when the drill fails early
	_ = os.RemoveAll(d.logDir())   // of an earlier run
	d.must(w.settled(ctx))
	d.must(w.callable(ctx))
	for i, c := range w.clusters {
		d.must(c.awaitDeployments(ctx))
		loaders, err := c.pods(ctx, "load")
		d.must(err)
		for _, l := range loaders {
			config := p(c, w.clusters[len(w.clusters)-1-i], l.zone)
			config.Name = d.id + "-" + l.zone
			body, err := json.Marshal(config)
			d.must(err)
			d.must(d.ask(ctx, l, "-X", "POST", "-d", string(body), "/load"))
			d.loaders = append(d.loaders, l)
			d.tap(l)
		}
	}
	d.follow()
	return d
}

// callable returns when all services of the drills answer, from all zones.
func (w *world) callable(ctx context.Context) error {
	for i, c := range w.clusters {
		for _, zone := range c.Zones {
			for _, url := range []string{chainURL, "http://" + w.clusters[1-i].soloHost() + ":8000/"} {
				if err := c.awaitAnswer(ctx, zone, url); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// awaitAnswer of a URL to a zone's load pod.
func (c *cluster) awaitAnswer(ctx context.Context, zone, url string) error {
	return lab.Await(ctx, url+" to answer in "+zone, patience, func(ctx context.Context) error {
		_, err := c.call(ctx, zone, url)
		return err
	})
}

// call a URL once from a zone's load pod.
func (c *cluster) call(ctx context.Context, zone, url string) (string, error) {
	out, err := c.Kubectl(ctx, "-n", namespace, "exec", "deployment/load-"+zone, "--", "/mock", "ask", url).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("call %s from %s: %w: %s", url, zone, err, out)
	}
	return string(out), nil
}

// explain what the clusters were like when a test failed.
func (w *world) explain(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), endPatience)
	defer cancel()
	w.Diagnose(ctx, t.Name())
}

func (d *drill) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// command asks a pod something from its node: args of `mock ask`, the path last.
func (w *world) command(ctx context.Context, p place, args ...string) *exec.Cmd {
	last := len(args) - 1
	args = append([]string{"ask"}, args...)
	args[last+1] = "http://" + net.JoinHostPort(p.ip, strconv.Itoa(load.Port)) + args[last+1]
	return p.node.Command(ctx, w.mock, args...)
}

func (w *world) ask(ctx context.Context, p place, args ...string) error {
	if out, err := w.command(ctx, p, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ask %s: %w: %s", p.name, err, out)
	}
	return nil
}

// read what a pod writes, live, in JSON.
func read[T any](ctx context.Context, w *world, p place, path string, each func(T)) error {
	command := w.command(ctx, p, path)
	out, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	lines := json.NewDecoder(out)
	for {
		var one T
		if err := lines.Decode(&one); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return errors.Join(err, command.Wait())
		}
		each(one)
	}
}

// tap a loader's records.
func (d *drill) tap(l place) {
	ctx := d.Context()
	d.reading.Go(func() {
		err := read(ctx, d.world, l, "/records", func(r load.Record) { d.rec.Add(newRecord(l.zone, r)) })
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
	for _, c := range d.clusters {
		for _, app := range []string{"mocka", "mockb", "mockc", c.solo()} {
			pods, err := c.pods(ctx, app)
			d.must(err)
			for _, p := range pods {
				if d.tapped[c.Name+p.name] {
					continue
				}
				d.tapped[c.Name+p.name] = true
				go func() { // for as long as the pod lives: it may be after the drill
					_ = read(ctx, d.world, p, "/executions", func(e chain.Execution) { d.execute(app, p.name, e) })
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
	return filepath.Join(d.dir, "logs", strings.ReplaceAll(d.name, " ", "-"))
}

// keepLogs of Eastway's pods: Kubernetes throws them away with the pods.
func (d *drill) keepLogs() {
	dir := d.logDir()
	_ = os.MkdirAll(dir, 0o755)
	logs, _ := filepath.Glob(filepath.Join(d.lab.Dir(), "*", "log", "pods", install.Namespace+"_*", "*", "*.log*"))
	for _, log := range logs {
		info, err := os.Stat(log)
		if err != nil {
			continue // it was thrown away
		}
		stat, _ := info.Sys().(*syscall.Stat_t)
		pod := strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(log))), install.Namespace+"_")
		_ = os.Link(log, filepath.Join(dir, fmt.Sprintf("%s-%d.log", pod, stat.Ino))) // there already, or another disk: no matter
	}
}

// phase begins.
func (d *drill) phase(name string) {
	d.keepLogs()
	d.phases = append(d.phases, phase{name: name, begun: time.Now()})
	fmt.Fprintf(progress(d.T), "== %s: %s\n", d.name, name)
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
			if err := d.ask(ctx, l, "-X", http.MethodDelete, "/load"); err != nil && !d.lost[l.zone] {
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
	d.keepLogs()
	d.mu.Lock()
	defer d.mu.Unlock()
	r := (&evidence{
		drill: d.name, phases: d.phases, end: ended, records: d.rec.All(), executed: d.executed, excuse: d.excuse, notes: d.notes,
		watched: d.watched, today: d.today,
	}).report()
	fmt.Fprintln(progress(d.T), &r)
	if err := r.write(d.dir); err != nil {
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
