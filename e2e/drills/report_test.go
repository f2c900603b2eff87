package drills

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/eastway/eastway/e2e/apps/load"
)

// phase is one part of a drill, and what to look for in it.
type phase struct {
	name  string
	begun time.Time
	// fault is when that happened whose effect is looked for; effect recognizes
	// the first answer that shows it.
	fault  time.Time
	effect func(*record) bool
}

// Values of report.Where.
const (
	onClusters = "on real clusters"
	inFileMode = "in file mode"
)

// report of one drill. Times are in milliseconds.
type report struct {
	Drill   string        `json:"drill"`
	Where   string        `json:"where"`
	Phases  []phaseReport `json:"phases"`
	Total   totals        `json:"total"`
	Failure []failure     `json:"unexpected"`
	Notes   []string      `json:"notes,omitempty"`
	// Today is what published walk-throughs of managed meshes show of the same faults.
	Today string `json:"published,omitempty"`
	// watched is the application whose answers are counted by zone.
	watched string
}

// totals are counts of requests that have all ended.
type totals struct {
	Sent int `json:"sent"`
	// Rate of calls that began, per second.
	Rate    float64 `json:"callsPerSecond"`
	Failed  int     `json:"failed"`
	Excused int     `json:"expectedFailures"`
	// Twice is how many POSTs one service began to execute more than once.
	Twice int `json:"executedTwice"`
	// Streams that ended in that time, of those Cut.
	Streams int `json:"streams"`
	Cut     int `json:"streamsFailed"`
}

// phaseReport is about the calls that began in the phase, and the streams that ended in it.
type phaseReport struct {
	Name string `json:"name"`
	totals
	P50 float64 `json:"p50Millis"`
	P99 float64 `json:"p99Millis"`
	Max float64 `json:"maxMillis"`
	// AnsweredBy counts, by zone or version, who answered calls from cluster-1.
	AnsweredBy map[string]int `json:"answeredBy"`
	// FirstEffect is the time from the fault to the first answer that shows its effect.
	FirstEffect *float64 `json:"firstEffectMillis,omitempty"`
}

// failure is one call or stream that failed.
type failure struct {
	Kind    string  `json:"kind"`
	ID      string  `json:"id"`
	Zone    string  `json:"zone"`
	Phase   string  `json:"phase"`
	Began   float64 `json:"beganMillis"` // since the drill's begin
	Took    float64 `json:"tookMillis"`
	Error   string  `json:"error"`
	Excused string  `json:"excused,omitempty"`
}

// evidence is everything that a report is made from.
type evidence struct {
	drill   string
	where   string // on which stage
	phases  []phase
	end     time.Time
	records []record
	// executed has the executions of a request, by its ID and service: the connections to pods on which it came.
	executed map[string]map[string][]string
	// excuse says why a failure had to be; "": it had not.
	excuse func(*record) string
	notes  []string
	// watched is the application whose answers are counted; empty: mockb.
	watched, today string
}

func (e *evidence) report() report {
	r := report{Drill: e.drill, Where: e.where, Notes: e.notes, Today: e.today, watched: cmp.Or(e.watched, "mockb")}
	rows := make([]phaseReport, len(e.phases))
	latencies := make([][]time.Duration, len(e.phases))
	for i := range e.phases {
		rows[i] = phaseReport{Name: e.phases[i].name, AnsweredBy: make(map[string]int)}
	}
	for i := range e.records {
		one := &e.records[i]
		n := e.phaseOf(one)
		row := &rows[n]
		if !one.ok() {
			f := failure{
				Kind: one.Kind, ID: one.ID, Zone: one.zone, Phase: row.Name, Error: one.Error,
				Began: millis(one.Start.Sub(e.phases[0].begun)), Took: millis(one.End.Sub(one.Start)),
			}
			if e.excuse != nil {
				f.Excused = e.excuse(one)
			}
			row.fail(one, f.Excused != "")
			if f.Excused == "" {
				r.Failure = append(r.Failure, f)
			}
		}
		if one.Kind == load.KindStream {
			row.Streams++
			continue
		}
		row.Sent++
		if e.twice(one) {
			row.Twice++
		}
		if one.ok() {
			latencies[n] = append(latencies[n], one.End.Sub(one.Start))
			if zone := one.by(r.watched); zone != "" && strings.HasPrefix(one.zone, homeRegion) {
				row.AnsweredBy[zone]++
			}
		}
	}
	for i := range rows {
		e.finish(&rows[i], i, latencies[i])
		r.Total.add(rows[i].totals)
	}
	r.Phases = rows
	r.Total.Rate = rate(r.Total.Sent, e.phases[0].begun, e.end)
	return r
}

// phaseOf a call is where it began, of a stream where it ended.
func (e *evidence) phaseOf(r *record) int {
	at := r.Start
	if r.Kind == load.KindStream {
		at = r.End
	}
	n := 0
	for i := range e.phases {
		if !e.phases[i].begun.After(at) {
			n = i
		}
	}
	return n
}

// twice is true when a service executed a request once more that is not idempotent.
func (e *evidence) twice(r *record) bool {
	if r.Method == http.MethodGet {
		return false
	}
	for _, executions := range e.executed[r.ID] {
		if len(executions) > 1 {
			return true
		}
	}
	return false
}

func (e *evidence) finish(row *phaseReport, n int, latencies []time.Duration) {
	slices.Sort(latencies)
	row.P50, row.P99, row.Max = quantile(latencies, 0.5), quantile(latencies, 0.99), quantile(latencies, 1)
	p, end := e.phases[n], e.end
	if n+1 < len(e.phases) {
		end = e.phases[n+1].begun
	}
	row.Rate = rate(row.Sent, p.begun, end)
	if p.effect == nil {
		return
	}
	for i := range e.records {
		r := &e.records[i]
		if r.End.Before(p.fault) || !r.call() || !p.effect(r) {
			continue
		}
		if t := millis(r.End.Sub(p.fault)); row.FirstEffect == nil || t < *row.FirstEffect {
			row.FirstEffect = &t
		}
	}
}

func (p *phaseReport) fail(r *record, excused bool) {
	switch {
	case excused:
		p.Excused++
	case r.Kind == load.KindStream:
		p.Cut++
	default:
		p.Failed++
	}
}

func (t *totals) add(o totals) {
	t.Sent += o.Sent
	t.Failed += o.Failed
	t.Excused += o.Excused
	t.Twice += o.Twice
	t.Streams += o.Streams
	t.Cut += o.Cut
}

// maxListed is how many failures are printed; the JSON has all of them.
const maxListed = 4

func (r *report) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n%s, %s\n", r.Drill, r.Where)
	const gap = 2
	table := tabwriter.NewWriter(&b, 0, 0, gap, ' ', 0)
	fmt.Fprintf(table, "PHASE\tSENT\tPER SECOND\tFAILED\tEXPECTED\tTWICE\tP50\tP99\tMAX\tSTREAMS\tCUT\t%s ANSWERED BY\tFIRST EFFECT\n",
		strings.ToUpper(r.watched))
	for i := range r.Phases {
		p := &r.Phases[i]
		first := "-"
		if p.FirstEffect != nil {
			first = fmt.Sprintf("%.0fms", *p.FirstEffect)
		}
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%d\t%d\t%d\t%.0fms\t%.0fms\t%.0fms\t%d\t%d\t%s\t%s\n", p.Name, p.Sent, p.Rate, p.Failed, p.Excused,
			p.Twice, p.P50, p.P99, p.Max, p.Streams, p.Cut, shares(p.AnsweredBy), first)
	}
	t := r.Total
	fmt.Fprintf(table, "total\t%d\t%.0f\t%d\t%d\t%d\t\t\t\t%d\t%d\n", t.Sent, t.Rate, t.Failed, t.Excused, t.Twice, t.Streams, t.Cut)
	_ = table.Flush() // into memory
	if r.Today != "" {
		fmt.Fprintf(&b, "published walk-through of a managed mesh: %s\n", r.Today)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "%s\n", note)
	}
	for i := range r.Failure {
		if i == maxListed {
			fmt.Fprintf(&b, "… and %d more\n", len(r.Failure)-i)
			break
		}
		f := &r.Failure[i]
		fmt.Fprintf(&b, "FAILED  %s %s from %s in %q at %.1fs after %.0fms: %s\n", f.Kind, f.ID, f.Zone, f.Phase, f.Began/1000, f.Took,
			firstLine(f.Error))
	}
	return b.String()
}

// firstLine of an error: the whole one is in the JSON.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func (r *report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := r.Drill
	if r.Where != onClusters {
		name += " " + r.Where
	}
	return os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".json"), append(text, '\n'), 0o644)
}

// shares by zone, in percent.
func shares(by map[string]int) string {
	total := 0
	for _, n := range by {
		total += n
	}
	var text []string
	for _, zone := range slices.Sorted(maps.Keys(by)) {
		text = append(text, fmt.Sprintf("%s %.0f%%", zone, 100*float64(by[zone])/float64(total)))
	}
	return strings.Join(text, ", ")
}

func rate(n int, from, to time.Time) float64 { return float64(n) / max(to.Sub(from).Seconds(), 1) }

// quantile is the nearest rank in sorted times, in milliseconds; 0 of none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return millis(sorted[min(max(rank, 1), len(sorted))-1])
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
