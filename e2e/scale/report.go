package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// figure is one measured value.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Work does not depend on how fast the computer is: it must not grow faster than the services.
	Work bool `json:"work,omitempty"`
	// AtMost bounds it whatever the number of services; 0: nothing does.
	AtMost float64 `json:"atMost,omitempty"`
}

// Units of figures.
const (
	seconds      = "s"
	milliseconds = "ms"
	mebibytes    = "MiB"
	bytesUnit    = "B"
	times        = ""
)

// report of one run.
type report struct {
	Services int      `json:"services"`
	Peers    int      `json:"peers"`
	Imports  int      `json:"imports"`
	CPUs     int      `json:"cpus"`
	Figures  []figure `json:"figures"`
}

func (r *report) add(f figure) { r.Figures = append(r.Figures, f) }

func (r *report) time(name string, d time.Duration) {
	r.add(figure{Name: name, Value: d.Seconds(), Unit: seconds})
}

func (r *report) cpu(name string, value float64) {
	r.add(figure{Name: name, Value: value, Unit: seconds})
}

// share of one core.
func (r *report) share(name string, cpu float64, of time.Duration) {
	r.add(figure{Name: name, Value: 100 * cpu / of.Seconds(), Unit: "%"})
}

func (r *report) memory(name string, value float64) {
	r.add(figure{Name: name, Value: value / (1 << 20), Unit: mebibytes})
}

func (r *report) work(name string, value float64, unit string) {
	r.add(figure{Name: name, Value: value, Unit: unit, Work: true})
}

// latencies adds what half, and what all but one in a hundred, were not above.
func (r *report) latencies(name string, all []time.Duration) {
	slices.Sort(all)
	const half, most = 0.5, 0.99
	for _, q := range []struct {
		name string
		of   float64
	}{{" p50", half}, {" p99", most}} {
		r.add(figure{Name: name + q.name, Value: quantile(all, q.of).Seconds() * 1e3, Unit: milliseconds})
	}
}

// quantile is the nearest rank in sorted times; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func readReport(path string) (report, error) {
	var r report
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the figures: %w", err)
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func (r *report) of(name string) (figure, bool) {
	i := slices.IndexFunc(r.Figures, func(f figure) bool { return f.Name == name })
	if i < 0 {
		return figure{}, false
	}
	return r.Figures[i], true
}

// print the table, beside what it was with fewer services.
func (r *report) print(out io.Writer, before *report) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := fmt.Sprintf("services\t%d\t", r.Services)
	if before != nil {
		head = fmt.Sprintf("services\t%d\t%d\tratio\t", before.Services, r.Services)
	}
	fmt.Fprintln(table, head)
	for _, f := range r.Figures {
		mark := ""
		if f.Work {
			mark = " *"
		}
		if before == nil {
			fmt.Fprintf(table, "%s%s\t%s\t\n", f.Name, mark, f.text())
			continue
		}
		old, ratio := "", ""
		if o, ok := before.of(f.Name); ok {
			old = o.text()
			if o.Value > 0 {
				ratio = fmt.Sprintf("%.1f", f.Value/o.Value)
			}
		}
		fmt.Fprintf(table, "%s%s\t%s\t%s\t%s\t\n", f.Name, mark, old, f.text(), ratio)
	}
	if err := table.Flush(); err != nil {
		return // no reader is left
	}
	fmt.Fprintln(out, "* work that does not depend on how fast the computer is")
}

func (f *figure) text() string {
	format := "%.0f %s"
	if f.Value < 10 && f.Value != float64(int(f.Value)) {
		format = "%.2f %s"
	} else if f.Value < 100 && f.Unit != times {
		format = "%.1f %s"
	}
	return fmt.Sprintf(format, f.Value, f.Unit)
}

// slack is how much faster than the number of services work may grow: n·log n and the like, not n².
const slack = 1.5

// least is how much work counts: a handful of writes more or less says nothing of how it grows.
const least = 100

// judge names the figures that have grown too fast, or are too large whatever the number of services.
func (r *report) judge(before *report) error {
	var errs []error
	for _, f := range r.Figures {
		if f.AtMost > 0 && f.Value > f.AtMost {
			errs = append(errs, fmt.Errorf("%s is %s, at most %v is expected", f.Name, f.text(), f.AtMost))
		}
		if before == nil || !f.Work {
			continue
		}
		old, ok := before.of(f.Name)
		most := slack * float64(r.Services) / float64(before.Services)
		if ok && f.Value >= least && f.Value > most*old.Value {
			errs = append(errs, fmt.Errorf("%s has grown from %s to %s, %.1f times with %d instead of %d services: at most %.1f is near linear",
				f.Name, old.text(), f.text(), f.Value/old.Value, r.Services, before.Services, most))
		}
	}
	return errors.Join(errs...)
}
