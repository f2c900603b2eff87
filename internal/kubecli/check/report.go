package check

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/eastway/eastway/internal/terminal"
)

// Formats of a Report.
const (
	Full  Format = "full"
	Short Format = "short" // problems, and counts
	JSON  Format = "json"
)

// Format is how a Report is printed.
type Format string

// Formats are all of them.
func Formats() []string { return []string{string(Full), string(Short), string(JSON)} }

// String, Set and Type make it a flag's value.
func (f *Format) String() string { return string(*f) }

// Set takes one of Formats.
func (f *Format) Set(s string) error {
	if !slices.Contains(Formats(), s) {
		return fmt.Errorf("must be %s, %s or %s", Full, Short, JSON)
	}
	*f = Format(s)
	return nil
}

// Type is what help calls it.
func (*Format) Type() string { return "format" }

// Report prints results as they come.
type Report struct {
	w       io.Writer
	format  Format
	marks   map[Level]string
	section string
	results []Result
}

// NewReport is an empty one.
func NewReport(w io.Writer, format Format) *Report {
	marks := map[Level]string{OK: "[ok]  ", Warning: "[warn]", Failed: "[FAIL]", Skipped: "[skip]"}
	if format == Full && terminal.Width(w) != nil {
		marks = map[Level]string{OK: "✓", Warning: "‼", Failed: "✗", Skipped: "–"}
	}
	return &Report{w: w, format: format, marks: marks, results: []Result{}}
}

// Add prints one more result.
func (r *Report) Add(result Result) {
	r.results = append(r.results, result)
	problem := result.Level == Failed || result.Level == Warning
	if r.format == JSON || (r.format == Short && !problem) {
		return
	}
	if result.Section != r.section {
		if r.section != "" {
			fmt.Fprintln(r.w)
		}
		r.section = result.Section
		fmt.Fprintf(r.w, "%s\n", terminal.Printable(r.section))
	}
	fmt.Fprintf(r.w, "%s %s\n", r.marks[result.Level], terminal.Printable(result.Message))
	if result.Hint != "" {
		fmt.Fprintf(r.w, "%s hint: %s\n", strings.Repeat(" ", len([]rune(r.marks[result.Level]))), terminal.Printable(result.Hint))
	}
}

// verdict is what -o json prints.
type verdict struct {
	OK       bool     `json:"ok"`
	Failed   int      `json:"failed"`
	Warnings int      `json:"warnings"`
	Results  []Result `json:"results"`
}

// End prints what there is to print at the end.
func (r *Report) End(counts map[Level]int) error {
	switch r.format {
	case JSON:
		return terminal.JSON(r.w, verdict{
			OK: counts[Failed] == 0, Failed: counts[Failed], Warnings: counts[Warning], Results: r.results,
		})
	default:
		if r.section != "" {
			fmt.Fprintln(r.w)
		}
		fmt.Fprintln(r.w, summary(counts))
		return nil
	}
}

// summary is a line for people; it leaves out counts of zero.
func summary(counts map[Level]int) string {
	number := func(n int, one, more string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	words := []string{number(counts[OK], "check passed", "checks passed")}
	for _, c := range []struct {
		level     Level
		one, more string
	}{{Warning, "warning", "warnings"}, {Failed, "failed", "failed"}, {Skipped, "skipped", "skipped"}} {
		if n := counts[c.level]; n > 0 {
			words = append(words, number(n, c.one, c.more))
		}
	}
	return strings.Join(words, ", ")
}
