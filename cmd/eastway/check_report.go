package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/eastway/eastway/internal/kubecli/check"
	"github.com/eastway/eastway/internal/terminal"
)

// report prints results as they come.
type report struct {
	w       io.Writer
	format  reportFormat
	marks   map[check.Level]string
	section string
	results []check.Result
}

func newReport(w io.Writer, format reportFormat) *report {
	marks := map[check.Level]string{check.OK: "[ok]  ", check.Warning: "[warn]", check.Failed: "[FAIL]", check.Skipped: "[skip]"}
	if format == reportFull && isTerminal(w) {
		marks = map[check.Level]string{check.OK: "✓", check.Warning: "‼", check.Failed: "✗", check.Skipped: "–"}
	}
	return &report{w: w, format: format, marks: marks, results: []check.Result{}}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (r *report) add(result check.Result) {
	r.results = append(r.results, result)
	problem := result.Level == check.Failed || result.Level == check.Warning
	if r.format == reportJSON || (r.format == reportShort && !problem) {
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
	OK       bool           `json:"ok"`
	Failed   int            `json:"failed"`
	Warnings int            `json:"warnings"`
	Results  []check.Result `json:"results"`
}

func (r *report) end(counts map[check.Level]int) error {
	switch r.format {
	case reportJSON:
		return terminal.JSON(r.w, verdict{
			OK: counts[check.Failed] == 0, Failed: counts[check.Failed], Warnings: counts[check.Warning], Results: r.results,
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
func summary(counts map[check.Level]int) string {
	number := func(n int, one, more string) string {
		if n == 1 {
			return "1 " + one
		}
		return fmt.Sprintf("%d %s", n, more)
	}
	words := []string{number(counts[check.OK], "check passed", "checks passed")}
	for _, c := range []struct {
		level     check.Level
		one, more string
	}{{check.Warning, "warning", "warnings"}, {check.Failed, "failed", "failed"}, {check.Skipped, "skipped", "skipped"}} {
		if n := counts[c.level]; n > 0 {
			words = append(words, number(n, c.one, c.more))
		}
	}
	return strings.Join(words, ", ")
}
