package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// maxListed is how many failures are printed; the JSON has all of them.
const maxListed = 20

// columnGap separates columns, in spaces: a heading may hold a single one.
const columnGap = 2

// print renders the table, what it means, and what was wrong.
func (r Report) print(t topology) string {
	var b bytes.Buffer
	b.WriteString("\n")
	tw := tabwriter.NewWriter(&b, 0, 0, columnGap, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(tw, strings.Join(cells, "\t")) }
	row("PHASE", "SENT", "FAILED", "EXPECTED", "TWICE", "P50", "P99", "MAX", "CROSSED",
		"MOCKB ANSWERED BY", "FIRST ANSWER ELSEWHERE")
	for _, p := range r.Phases {
		row(p.Name, count(p.Sent), count(p.Failed), count(p.Expected), count(p.ExecutedTwice),
			ms(p.P50), ms(p.P99), ms(p.Max), p.crossed(), shares(t, p.MockbAnsweredBy), p.first())
	}
	row("total", count(r.Total.Sent), count(r.Total.Failed), count(r.Total.Expected), count(r.Total.ExecutedTwice),
		"", "", "", "", "", "")
	_ = tw.Flush() // into memory
	lines := strings.Split(b.String(), "\n")
	b.Reset()
	for _, line := range lines {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	b.WriteString(legend(t))
	r.printWrong(&b)
	return b.String()
}

func legend(t topology) string {
	var zones []string
	for _, c := range t.clusters {
		var names []string
		for _, z := range c.zones {
			names = append(names, z.short())
		}
		zones = append(zones, strings.Join(names, " and ")+" of "+c.name)
	}
	return "EXPECTED: of the failed, those in flight on a process when it was killed or fell silent, or sent to it before that\n" +
		fmt.Sprintf("was noticed (at most %v after it was killed, %v after it fell silent; more if this machine is busy,\n",
			killedGrace, silenceGrace) +
		"and then a line above says so).\n" +
		"TWICE: executed twice by one service, GETs aside. P50, P99, MAX: of answers, without those that a stopped proxy of the caller's\n" +
		"own cluster held up.\n" +
		"CROSSED: of the calls between services, those that went from one cluster to the other.\n" +
		"MOCKB ANSWERED BY: for load that entered in " + homeCluster + "; zones " + strings.Join(zones, ", ") + ".\n" +
		"FIRST ANSWER ELSEWHERE: time from the fault to it; (home): from the repair to the first answer from home.\n"
}

// printWrong lists what makes the demo fail, or that there is nothing.
func (r Report) printWrong(b *bytes.Buffer) {
	b.WriteString("\n")
	for i, f := range r.Unexpected {
		if i == maxListed {
			fmt.Fprintf(b, "… and %d more failures; --json FILE lists all\n", len(r.Unexpected)-i)
			break
		}
		fmt.Fprintf(b, "UNEXPECTED  %s %s, entered at %s in phase %q at %.1fs, failed after %.2fs: %s\n",
			f.Method, f.ID, f.Entry, f.Phase, f.Began/1000, f.Took/1000, f.Error)
		for _, line := range f.AccessLog {
			fmt.Fprintf(b, "            %s\n", line)
		}
	}
	for i, x := range r.ExecutedTwice {
		if i == maxListed {
			fmt.Fprintf(b, "… and %d more; --json FILE lists all\n", len(r.ExecutedTwice)-i)
			break
		}
		fmt.Fprintf(b, "TWICE       %s was executed %d times by %s: %s\n", x.ID, len(x.By), x.Service, strings.Join(x.By, ", "))
	}
	if n := len(r.Repeated); n > 0 {
		fmt.Fprintf(b, "REPEATED: %d of the GETs were executed again by another endpoint, since the first answer did not come.\n", n)
	}
	for _, m := range r.Missed {
		fmt.Fprintf(b, "MISSED      %s\n", m)
	}
	if r.OK {
		fmt.Fprintf(b, "OK: %d requests, %d failed as expected, none beyond that, no POST was executed twice.\n", r.Total.Sent, r.Total.Expected)
	}
	b.WriteString(r.Saved.String())
}

// String is the table's last line.
func (s Saved) String() string {
	return fmt.Sprintf("SAVED: %d of %d calls would have failed without Eastway: %d were answered by another endpoint after the first "+
		"one failed,\n%d went to another zone or region at once because no endpoint in their own was listening.\n",
		s.AfterFailure+s.Elsewhere, s.Calls, s.AfterFailure, s.Elsewhere)
}

// first is the last column.
func (p PhaseReport) first() string {
	if p.FirstElsewhere == nil {
		return "-"
	}
	text := round(time.Duration(*p.FirstElsewhere * float64(time.Millisecond)))
	if p.Returns {
		text += " (home)"
	}
	return text
}

func (p PhaseReport) crossed() string {
	if p.AllCalls == 0 {
		return "-"
	}
	return percent(p.CrossedCalls, p.AllCalls)
}

func count(n int) string { return fmt.Sprint(n) }

// ms prints milliseconds for people: 7.1ms, 48ms, 1.2s.
func ms(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.1fms", v)
	case v < 1000:
		return fmt.Sprintf("%.0fms", v)
	default:
		return fmt.Sprintf("%.1fs", v/1000)
	}
}

// err sums the report up; nil when all is well.
func (r Report) err() error {
	if r.OK {
		return nil
	}
	return fmt.Errorf("%d requests failed beyond the %d that were expected, %d were executed twice, "+
		"%d effects did not come in time", len(r.Unexpected), r.Total.Expected, r.Total.ExecutedTwice, len(r.Missed))
}

// write puts the report into a file as JSON, all of it or nothing.
func (r Report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".eastway-demo-*")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the report to %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// writable finds out now, not after the demo, whether a report could be written there.
func writable(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".eastway-demo-*")
	if err != nil {
		return fmt.Errorf("--json %s: %w", path, err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("--json %s: %w", path, err)
	}
	return nil
}
